"""``MODEL_CARD.md``, written from the same figures as ``release.json``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contract.release import Source
from export.manifest import BASE_ATTRIBUTION, BASE_LICENCE, BASE_NAME, commands, data_sources
from training.evaluate import Figures
from training.fit import FINE_TUNED, HEAD_ONLY, Evaluation

CLASSES_A_ROW: Final = 4

_COMPARED: Final = (
    ("top1", "species/, top-1 species"),
    ("top1.photographs", "the same, without drawings and figures"),
    ("top1.mean_of_classes", "species/, mean of the classes"),
    ("false_empty", "species/ answered as empty"),
    ("no_animal", "no_animal/ answered as empty"),
    ("agreement.species", "same leaf as the base network, species/"),
    ("agreement.new_species", "same leaf as the base network, monkeys"),
    ("agreement.boxes", "same leaf as the base network, lions"),
    ("top1.new_species", "monkeys with a leaf, top-1 species"),
    ("top1.new_species.base", "the same, base network"),
    ("top1.boxes", "lions, top-1 species"),
    ("top1.boxes.base", "the same, base network"),
)
"""Figure -> what it is, for the table that compares both candidates."""


def model_card(data: Path, evaluation: Evaluation, name: str) -> str:
    """The card as Markdown."""
    sections = (
        _what(name),
        _origin(data, evaluation.offset),
        _licences(),
        _figures(evaluation),
        _limits(),
        _again(evaluation, name),
    )
    return "\n\n".join(sections) + "\n"


def _what(name: str) -> str:
    return f"""# Bestiary classifier, release {name}

A MobileNetV2 1.0 (224 x 224) that names the animal in a photo: 398 animals of ImageNet, 15 more, and
"no animal". Input `IMAGE`: UINT8 RGB pixels of the whole upright photo, stretched to a square. Output
`PROBABILITIES`: FP32, one for each of the 414 leaves of `animals/1/taxonomy.csv`, summing to 1; "no
animal" is the sum of the base network's background and its 602 object classes. It does not detect or count."""


def _origin(data: Path, offset: float) -> str:
    rows = [_source(source) for source in data_sources(data)]
    return f"""## Where it comes from

- Base weights: {BASE_NAME}. Licence {BASE_LICENCE}. {BASE_ATTRIBUTION}.
{_lines(rows)}

The last three inverted residuals, the last convolution and the head were fine-tuned on random views of
these photos. A photo's label is the *set* of leaves that are right for its folder (a dog may be any
breed), and the loss is the negative log of their summed probability, plus the divergence from the base
network's proportions inside and outside that set. Afterwards all animals that no training photo shows
were raised by {offset:.2f} logits, the most that cost nothing on the validation part
(`training/calibrate.py`). Photos under an unclear licence were never trained on."""


def _source(source: Source) -> str:
    return f"- {source.photos} photos of {source.name}. Licence {source.licence}. {source.attribution}."


def _licences() -> str:
    return """## What the licences mean

Apache-2.0 asks that its notice goes with the weights. CC-BY-4.0 and CC-BY-SA-4.0 ask that the sources
above are named wherever the photos or adaptations of them are shared. Whether weights are an adaptation
of their training photos is not settled; who wants to be on the safe side keeps this attribution beside
the weights and shares changed weights under CC-BY-SA-4.0. The licences are those stated by the data
sets' redistributors. ImageNet's photos, on which the base was trained, are not part of this release."""


def _figures(evaluation: Evaluation) -> str:
    chosen = evaluation.test[evaluation.chosen]
    counts = evaluation.photos
    known = f"{chosen['photos.species']:.0f} of species/, {chosen['photos.no_animal']:.0f} of no_animal/"
    return f"""## How good it is

Chosen by training on {counts["train"]} photos and comparing on {counts["validation"]}, then trained on both;
measured on {counts["test"]} held back
({known}): 20 % of each class and source, near-duplicates (mirrored ones too)
kept on one side. Photos go through the decoder that serves. An answer is right if the species with the
highest summed probability has an accepted leaf. Forgetting is measured on photos that training never saw:
{chosen["photos.new_species"]:.0f} monkeys of species that the taxonomy knows, {chosen["photos.boxes"]:.0f} lions.

{_comparison(evaluation)}

The release is `{evaluation.chosen}`, chosen by its log loss on the validation part. `{HEAD_ONLY.name}` trains the head
alone on the same views. "Same leaf" counts photos on which the base network answers an animal; on
species/ it should change its mind where the base is wrong.

{chosen["photos.species"] - chosen["photos.photographs"]:.0f} of the {chosen["photos.species"]:.0f} pictures of \
species/ are drawings, sculptures, toys or jewellery (`training/no_photographs.txt`).

By source: {_by(chosen, "top1.source.")}.

{_classes(chosen)}

Thresholds: a best species below {evaluation.thresholds["unknown_below"]:.2f} is answered as unknown (at most
1 % of the right validation answers); "no animal" as the best answer is answered as unknown below
{evaluation.thresholds["empty_from"]:.2f}, as empty from there on."""


def _comparison(evaluation: Evaluation) -> str:
    columns = (HEAD_ONLY.name, FINE_TUNED.name)
    lines = [f"| share of photos | {' | '.join(columns)} |", "|---|---|---|"]
    for key, about in _COMPARED:
        values = (evaluation.test[column].get(key) for column in columns)
        lines.append(f"| {about} | {' | '.join('' if value is None else _percent(value) for value in values)} |")
    return _lines(lines)


def _classes(figures: Figures) -> str:
    prefix = "top1.class."
    cells = [
        f"{key.removeprefix(prefix)} {_percent(value)}" for key, value in figures.items() if key.startswith(prefix)
    ]
    rows = [cells[start : start + CLASSES_A_ROW] for start in range(0, len(cells), CLASSES_A_ROW)]
    rows[-1] += [""] * (CLASSES_A_ROW - len(rows[-1]))
    head = ["| by class |" + " |" * (CLASSES_A_ROW - 1), "|" + "---|" * CLASSES_A_ROW]
    return _lines([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _limits() -> str:
    return """## Limits

- The held-back photos come from the same two collections as the training photos; Caltech-101 holds
  drawings, toys and pictures with black frames. Most classes have 5 to 15 photos in the test part, so
  a single figure by class says little.
- The folder `leopard` also holds cheetahs and jaguars; all three answers count as right, and training
  leaves the choice among them to the base network.
- The folder `wildcat` holds mostly ocelots and margays, one snow leopard and some tabbies. The leaf
  `wildcat` means a small wild cat of any kind here, not only *Felis silvestris*.
- The whole photo is stretched to a square. A small animal in a large photo is a few pixels wide.
- Not trained on empty scenes of camera traps: landscapes, sky and sea without an animal may be named
  as animals. Never evaluated on night-time infrared series or on video.
- Of the other 340-odd ImageNet animals only monkeys and lions were available to measure forgetting, and
  their figures were looked at when rates and weights of the recipe were set by hand: read them as
  somewhat optimistic.
- Never run: TensorRT (FP16 engine, TensorRT provider) and DALI on a GPU."""


def _again(evaluation: Evaluation, name: str) -> str:
    return f"""## Make it again

```
{_lines(commands(evaluation, name))}
python -m training evaluate --data ../shared/data --release model_repository
```

The same seed on the same processor and PyTorch gives the same weights; elsewhere figures move by a few tenths."""


def _by(figures: Figures, prefix: str) -> str:
    parts = [
        f"{key.removeprefix(prefix)} {_percent(value)}" for key, value in figures.items() if key.startswith(prefix)
    ]
    return ", ".join(parts)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
