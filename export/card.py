"""``MODEL_CARD.md``, written from the same figures as ``release.json``."""

from __future__ import annotations

from pathlib import Path

from contract.release import Source
from export.card_certainty import certainty_section, strangers_section
from export.card_classifier import classifier_section
from export.card_detector import detector_section
from export.card_text import lines, percent
from export.findings import Findings
from export.manifest import (
    BASE_ATTRIBUTION,
    BASE_LICENCE,
    BASE_NAME,
    DETECTOR_ATTRIBUTION,
    DETECTOR_LICENCE,
    DETECTOR_NAME,
    commands,
    data_sources,
)


def model_card(data: Path, findings: Findings, name: str) -> str:
    """The card as Markdown."""
    sections = (
        _what(name),
        _origin(data, findings.classifier.offset),
        _licences(),
        detector_section(findings),
        classifier_section(findings.classifier, findings.int8),
        certainty_section(findings),
        strangers_section(findings),
        _forms(findings),
        _limits(),
        _again(findings, name),
    )
    return "\n\n".join(sections) + "\n"


def _what(name: str) -> str:
    return f"""# Bestiary, release {name}

Finds, counts and names the animals in a photo. Two networks:

- **detector**, a YOLOX-nano: `SCENE`, UINT8 RGB pixels of the whole upright photo letterboxed to 416 x 416, to
  `DETECTIONS`, the 300 best boxes with their scores. It knows one class, "animal".
- **classifier**, a MobileNetV2 1.0: `IMAGE`, UINT8 RGB pixels of a whole photo or of the crop of one animal, stretched
  to 224 x 224, to `PROBABILITIES`, FP32, one for each of the 414 leaves of `animals/1/taxonomy.csv`, summing to 1: 398
  animals of ImageNet, 15 more, and "no animal", the sum of the base network's background and its 602 object classes."""


def _origin(data: Path, offset: float) -> str:
    rows = [_source(source) for source in data_sources(data)]
    return f"""## Where it comes from

- Base weights of the classifier: {BASE_NAME}. Licence {BASE_LICENCE}. {BASE_ATTRIBUTION}.
- Base weights of the detector: {DETECTOR_NAME}. Licence {DETECTOR_LICENCE}. {DETECTOR_ATTRIBUTION}.
{lines(rows)}

Of the classifier the last three inverted residuals, the last convolution and the head were fine-tuned on random views
of these photos, of the crops of marked animals with the context that serving gives them, and of parts that no box
touches. A photo's label is the *set* of leaves that are right for its folder (a dog may be any breed), and the loss is
the negative log of their summed probability, plus the divergence from the base network's proportions inside and outside
that set. Afterwards all animals that no training photo shows were raised by {offset:.2f} logits, the most that cost
nothing on the validation part (`training/calibrate.py`). Nine pictures of boxes/ that are marked as blank were left
out: four show a lion, the others are drawings and toys. Photos under an unclear licence were never trained on."""


def _source(source: Source) -> str:
    return f"- {source.photos} photos of {source.name}. Licence {source.licence}. {source.attribution}."


def _licences() -> str:
    return """## What the licences mean

Apache-2.0 asks that its notice goes with the weights. CC-BY-4.0 and CC-BY-SA-4.0 ask that the sources
above are named wherever the photos or adaptations of them are shared. Whether weights are an adaptation
of their training photos is not settled; who wants to be on the safe side keeps this attribution beside
the weights and shares changed weights under CC-BY-SA-4.0. The licences are those stated by the data
sets' redistributors. The photos of ImageNet and COCO, on which the bases were trained, are not part of this
release."""


def _forms(findings: Findings) -> str:
    int8 = findings.int8
    return f"""## Forms of the classifier

`model.onnx` computes in FP32; its weights are stored in half precision, which loses nothing because they were rounded
before they were measured. `model.int8.onnx`, the `cpu` profile's, computes in 8-bit integers: it names the same best
species on {percent(int8["int8.agreement"])} of the held-back photos and crops and loses {_points(int8["int8.lost"])} of
the right answers (the gate lets through 98 % and one point). Its sums fit 16 bits on processors without VNNI too
(`docs/decisions/0010-int8.md`).{_dali(findings)}"""


def _points(share: float) -> str:
    return f"{100 * share:.1f} points" if share > 0 else "none"


def _dali(findings: Findings) -> str:
    dali = findings.dali
    if not dali:
        return ""
    return f"""

DALI's decoder (`make up PREPROCESS=dali`, and the `gpu` profile) changes the best species on
{percent(dali["dali.changed"])} of {dali["dali.photos"]:.0f} photos against the shrink-on-load decoder; the largest
difference of a pixel is {dali["dali.largest_difference"]:.0f} of 255, the mean {dali["dali.mean_difference"]:.2f}."""


def _limits() -> str:
    return """## Limits

- The held-back photos come from the same collections as the training photos; Caltech-101 holds
  drawings, toys and pictures with black frames. Most classes have 5 to 15 photos in the test part, so
  a single figure by class says little.
- Counting was measured on lions only, mostly one to three on a photo.
- The folder `leopard` also holds cheetahs and jaguars; all three answers count as right, and training
  leaves the choice among them to the base network.
- The folder `wildcat` holds mostly ocelots and margays, one snow leopard and some tabbies. The leaf
  `wildcat` means a small wild cat of any kind here, not only *Felis silvestris*.
- A whole photo is stretched to a square; without a box round it a small animal is a few pixels wide.
- Empty scenes were learned from a hundred small parts of lion photos and from objects, not from camera traps: those
  are better refused by the detector. Never evaluated on night-time infrared series or on video.
- Of the other 340-odd ImageNet animals only monkeys were available to measure forgetting, and their figures were
  looked at when rates and weights of the recipe were set by hand: read them as somewhat optimistic.
- Never run: TensorRT (FP16 engines, TensorRT provider) and DALI on a GPU."""


def _again(findings: Findings, name: str) -> str:
    return f"""## Make it again

```
{lines(commands(findings, name))}
python -m training reliability --evaluation build/training/evaluation.json --out docs/figures/reliability.png
python -m training evaluate --data ../shared/data --release model_repository
```

The same seed on the same processor and PyTorch gives the same weights; elsewhere figures move by a few tenths."""
