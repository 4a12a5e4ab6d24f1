"""The model card's section on the classifier's answers."""

from __future__ import annotations

from typing import Final

from export.card_text import lines, percent, table
from training.evaluate import Figures
from training.fit import FINE_TUNED, HEAD_ONLY, Evaluation

CLASSES_A_ROW: Final = 4

_COMPARED: Final = (
    ("top1", "species/, top-1 species"),
    ("top1.photographs", "the same, without drawings and figures"),
    ("top1.mean_of_classes", "species/, mean of the classes"),
    ("false_empty", "species/ answered as empty"),
    ("no_animal", "no_animal/ answered as empty"),
    ("top1.boxes", "lions, whole photo, top-1 species"),
    ("top1.boxes.base", "the same, base network"),
    ("top1.crops", "lions, crop of each marked box, top-1 species"),
    ("backgrounds", "parts of lion photos without animals answered as empty"),
    ("top1.new_species", "monkeys with a leaf, top-1 species"),
    ("top1.new_species.base", "the same, base network"),
    ("agreement.species", "same leaf as the base network, species/"),
    ("agreement.new_species", "same leaf as the base network, monkeys"),
)
"""Figure -> what it is, for the table that compares both candidates and both forms of the release."""


def classifier_section(evaluation: Evaluation, int8: Figures) -> str:
    """How good its answers are."""
    chosen = evaluation.test[evaluation.chosen]
    counts = evaluation.photos
    drawn = chosen["photos.species"] - chosen["photos.photographs"]
    return f"""## The classifier: how good it is

Chosen by training on {counts["train"]} photos and comparing on {counts["validation"]}, then trained on both;
measured on {counts["test"]} held back ({chosen["photos.species"]:.0f} of species/,
{chosen["photos.no_animal"]:.0f} of no_animal/, {chosen["photos.boxes"]:.0f} of lions with
{chosen["photos.crops"]:.0f} boxes and {chosen["photos.backgrounds"]:.0f} parts that no box touches): 20 % of
each class and source, near-duplicates (mirrored ones too) kept on one side. Photos and crops go through the code that
serves. An answer is right if the species with the highest summed probability has an accepted leaf. Forgetting is
measured on {chosen["photos.new_species"]:.0f} monkeys of species that the taxonomy knows; training never saw a monkey.

{_comparison(evaluation, int8)}

The release is `{evaluation.chosen}`, chosen by its log loss on the validation part. `{HEAD_ONLY.name}` trains the head
alone on the same views. `int8` is the 8-bit form of the release, which the `cpu` profile serves. "Same leaf" counts
photos on which the base network answers an animal; on species/ it should change its mind where the base is wrong.

{drawn:.0f} of the {chosen["photos.species"]:.0f} pictures of species/ are drawings, sculptures, toys or jewellery \
(`training/no_photographs.txt`).

By source: {_by(chosen, "top1.source.")}.

{_classes(chosen)}"""


def _comparison(evaluation: Evaluation, int8: Figures) -> str:
    columns = {
        HEAD_ONLY.name: evaluation.test[HEAD_ONLY.name],
        FINE_TUNED.name: evaluation.test[FINE_TUNED.name],
        "int8": int8,
    }
    rows = [[about, *(percent(figures.get(key)) for figures in columns.values())] for key, about in _COMPARED]
    return table(["share of photos", *columns], rows)


def _classes(figures: Figures) -> str:
    cells = [f"{name} {percent(value)}" for name, value in _under(figures, "top1.class.")]
    rows = [cells[start : start + CLASSES_A_ROW] for start in range(0, len(cells), CLASSES_A_ROW)]
    rows[-1] += [""] * (CLASSES_A_ROW - len(rows[-1]))
    head = ["| by class |" + " |" * (CLASSES_A_ROW - 1), "|" + "---|" * CLASSES_A_ROW]
    return lines([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _by(figures: Figures, prefix: str) -> str:
    return ", ".join(f"{name} {percent(value)}" for name, value in _under(figures, prefix))


def _under(figures: Figures, prefix: str) -> list[tuple[str, float]]:
    return [(key.removeprefix(prefix), value) for key, value in figures.items() if key.startswith(prefix)]
