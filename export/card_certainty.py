"""The model card's sections on how sure answers are, and on animals of kinds that were never trained on."""

from __future__ import annotations

from typing import Final

from export.card_text import percent, table
from export.findings import Findings
from training.certainty import FOLDERS
from training.evaluate import Figures
from training.leave_out import KNOWN, ROLL_UP, SPECIES_FROM, SPECIES_ONLY, STRICTER

DIAGRAM: Final = "../docs/figures/reliability.png"
"""From the card's place in the model repository."""

_PARTS: Final = (
    (FOLDERS, "species/ and no_animal/"),
    ("source.caltech101", "of these, Caltech-101"),
    ("source.oxford-iiit-pet", "of these, Oxford-IIIT Pet"),
    ("lions", "lions, whole photos"),
    ("crops", "lions, crops"),
    ("backgrounds", "parts without animals"),
    ("new_species", "monkeys with a leaf"),
)

_OUTCOMES: Final = (
    ("right_ancestor", "a right genus, family, order or class"),
    ("animal", "some animal"),
    ("unknown", "unknown"),
    ("empty", "empty"),
    ("wrong_ancestor", "a wrong genus, family, order or class"),
    ("wrong_species", "a wrong species"),
)

_PRICE: Final = (
    ("right_species", "kept folders: the right species"),
    ("right_ancestor", "kept folders: a right ancestor"),
    ("named_right", "kept folders: of the answers that name a taxon, right"),
)


def certainty_section(findings: Findings) -> str:
    """Calibration, roll-up and conformal sets."""
    evaluation = findings.classifier
    figures = evaluation.test[evaluation.chosen]
    chosen = evaluation.calibration
    return f"""## The classifier: how sure it is

The logits are divided by {chosen.temperature:.3f} before the softmax, inside the graph (temperature scaling: Guo et
al., ICML 2017). On the held-back photos of species/ and no_animal/ this takes the expected calibration error (15 bins,
best species) from {percent(figures[f"ece.{FOLDERS}.before"])} to {percent(figures[f"ece.{FOLDERS}"])}.

![Reliability before and after temperature scaling]({DIAGRAM})

Temperature and thresholds come from the {_calibrated(findings):.0f} validation photos of species/ and no_animal/ and
from a network that was not trained on them. The lions were left out of that: they are many and easy, and would make
thresholds too lenient.

- `sure_from` {chosen.sure_from:.2f}: the answer is the narrowest taxon (species, genus, family, order, class, animal)
  whose probability is at least this; the lowest threshold from 0.5 on at which 95 % of the answers that name
  a taxon were right on validation, an ancestor of the truth included.
- `empty_from` {chosen.empty_from:.2f}: "no animal", if it is best, is answered as empty from here on.
- `alternatives_from` {chosen.alternatives_from:.4f}: species from here on, and the best one always, form a set that
  holds the truth on {percent(chosen.coverage)} of photos like those of validation (split-conformal prediction with
  the least ambiguous sets: Sadinle, Lei and Wasserman, 2019).

{_by_part(figures)}

"Named" counts answers of a species or an ancestor up to the class. On photos unlike the calibration's nothing
is promised: the monkeys show how far it holds."""


def _calibrated(findings: Findings) -> float:
    validation = findings.classifier.validation[findings.classifier.chosen]
    return validation["photos.species"] + validation["photos.no_animal"]


def _by_part(figures: Figures) -> str:
    head = ["held-back photos", "ECE", "named", "of these right", "a species", "set holds the truth", "mean set"]
    rows = []
    for part, about in _PARTS:
        shares = {name: figures.get(f"{name}.{part}", 0.0) for name in ("right_species", "wrong_species")}
        species = sum(shares.values())
        named = species + figures[f"right_ancestor.{part}"] + figures[f"wrong_ancestor.{part}"]
        rows.append(
            [
                about,
                percent(figures[f"ece.{part}"]),
                percent(named),
                percent(figures.get(f"named_right.{part}")),
                percent(species),
                percent(figures[f"coverage.{part}"]),
                f"{figures[f'set_size.{part}']:.2f}",
            ]
        )
    return table(head, rows)


def strangers_section(findings: Findings) -> str:
    """What becomes of animals of a kind that was never trained on."""
    left_out = findings.left_out
    sure_from = findings.classifier.calibration.sure_from
    novel = findings.classifier.test[findings.classifier.chosen]
    ways = {"best species": SPECIES_ONLY, "with roll-up": ROLL_UP}
    stricter = {f"`sure_from` {limit}": f"{ROLL_UP}_{limit}" for limit in STRICTER}
    ways |= {about: way for about, way in stricter.items() if f"{way}.right_ancestor" in left_out}
    rows = [
        [about, *(percent(left_out[f"{way}.{outcome}"]) for way in ways.values()), percent(novel[f"{outcome}.novel"])]
        for outcome, about in _OUTCOMES
    ]
    price = [
        [about, *(percent(left_out[f"{KNOWN}.{way}.{figure}"]) for way in ways.values()), ""]
        for figure, about in _PRICE
        if f"photos.{KNOWN}" in left_out
    ]
    return f"""## Animals that it was never shown

The folders of species/ that the base network has no row for were left out of training in two turns, and all of their
{left_out["photos.left_out"]:.0f} photos were then asked for (`training/leave_out.py` says how exactly). Right is an
ancestor or a refusal; a species can only be wrong. "Best species" answers the best species from {SPECIES_FROM} on, as
release 1 did; roll-up uses the thresholds that validation gave without those folders. The last column are uakaris and
night monkeys, which have no leaf, under the release itself at its `sure_from` {sure_from:.2f}.

{table(["answered with", *ways, "monkeys without a leaf"], rows + price)}"""
