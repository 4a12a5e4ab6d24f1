"""``release.json``: what the release consists of, where it came from and how good it is."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Final

from contract.preprocessing import IMAGE_SIZE
from contract.release import Release, Source, Training
from contract.taxonomy import Taxonomy
from export.findings import Findings
from export.layout import MODELS, VERSION, file_digests
from training.dataset import BASE_WEIGHTS, Photo, digest, read_manifest, trainable
from training.detector.start import START_WEIGHTS

COMMANDS: Final = (
    "python -m training fit --data ../shared/data --out build/training --seed {seed}",
    "python -m training leave-out --data ../shared/data --out build/training --seed {seed}",
    "python -m training fit-detector --data ../shared/data --out build/detector --seed {seed}",
    "python -m export build --checkpoint build/training/checkpoint.pt --detector build/detector/checkpoint.pt"
    " --data ../shared/data --out model_repository --name {name}",
)

ATTRIBUTION: Final = {
    "asiatic-lion": "Photos of Asiatic lions with boxes, published under this licence as stated by the data set's"
    " redistributor; whoever took and marked them is not named there",
    "caltech101": "Caltech-101: F.-F. Li, M. Andreetto, M. Ranzato, P. Perona, California Institute of Technology, 2022"
    " (doi:10.22002/D1.20086)",
    "oxford-iiit-pet": "The Oxford-IIIT Pet Dataset: O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar,"
    " Visual Geometry Group, University of Oxford, 2012",
}
"""Source in the data set's manifest -> whom its licence asks to be named."""

BASE_NAME: Final = "tf2_mobilenet_v2_1.0_224_ptq (Coral), dequantised to float32"
BASE_LICENCE: Final = "Apache-2.0"
BASE_ATTRIBUTION: Final = "Coral, Google LLC; trained on ImageNet (ILSVRC-2012) by TensorFlow's authors"

DETECTOR_NAME: Final = "YOLOX-nano, COCO (starting weights of the detector)"
DETECTOR_LICENCE: Final = "Apache-2.0 as stated for the official weights; the provenance of this copy is not proven"
DETECTOR_ATTRIBUTION: Final = "Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, Megvii Inc., 2021 (arXiv:2107.08430)"


def commands(findings: Findings, name: str) -> tuple[str, ...]:
    """The commands that make the release again, as they are typed beside the data directory."""
    return tuple(command.format(seed=findings.classifier.seed, name=name) for command in COMMANDS)


def make_release(repository: Path, data: Path, findings: Findings, name: str) -> Release:
    """The manifest over all files that lie in ``repository`` now, ``release.json`` itself excepted."""
    return Release(
        name=name,
        created=date.today().isoformat(),
        models=dict.fromkeys(MODELS, VERSION),
        image_size=IMAGE_SIZE,
        thresholds=findings.thresholds,
        files=file_digests(repository),
        training=Training(
            command=" && ".join(commands(findings, name)),
            seed=findings.classifier.seed,
            base_weights=_weights(data / BASE_WEIGHTS, BASE_NAME, BASE_LICENCE, BASE_ATTRIBUTION),
            data=(
                *data_sources(data),
                _weights(data / START_WEIGHTS, DETECTOR_NAME, DETECTOR_LICENCE, DETECTOR_ATTRIBUTION),
            ),
        ),
        evaluation=findings.figures,
    )


def _weights(file: Path, name: str, licence: str, attribution: str) -> Source:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Source(name=name, licence=licence, sha256=sha256, attribution=attribution)


def data_sources(data: Path) -> tuple[Source, ...]:
    """One entry for each source of the photos that training may use."""
    by_source: dict[str, list[Photo]] = {}
    for photo in trainable(read_manifest(data)):
        by_source.setdefault(photo.source, []).append(photo)
    return tuple(
        Source(
            name=source,
            licence=" and ".join(sorted({photo.licence for photo in photos})),
            sha256=digest(data, photos),
            photos=len(photos),
            attribution=ATTRIBUTION[source],
        )
        for source, photos in sorted(by_source.items())
    )


def labels(taxonomy: Taxonomy) -> str:
    """``labels.txt``: the key of every leaf, one a line, in output order."""
    return "".join(f"{leaf.key}\n" for leaf in taxonomy)
