"""``release.json``: what the release consists of, where it came from and how good it is."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Final

from contract.preprocessing import IMAGE_SIZE
from contract.release import Release, Source, Thresholds, Training
from contract.taxonomy import Taxonomy
from export.layout import MODELS, VERSION, file_digests
from training.dataset import BASE_WEIGHTS, Photo, digest, read_manifest, trainable
from training.evaluate import Figures
from training.fit import HEAD_ONLY, Evaluation

COMMANDS: Final = (
    "python -m training fit --data ../shared/data --out build/training --seed {seed}",
    "python -m export build --checkpoint build/training/checkpoint.pt --data ../shared/data"
    " --out model_repository --name {name}",
)

ATTRIBUTION: Final = {
    "caltech101": "Caltech-101: F.-F. Li, M. Andreetto, M. Ranzato, P. Perona, California Institute of Technology, 2022"
    " (doi:10.22002/D1.20086)",
    "oxford-iiit-pet": "The Oxford-IIIT Pet Dataset: O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar,"
    " Visual Geometry Group, University of Oxford, 2012",
}
"""Source in the data set's manifest -> whom its licence asks to be named."""

BASE_NAME: Final = "tf2_mobilenet_v2_1.0_224_ptq (Coral), dequantised to float32"
BASE_LICENCE: Final = "Apache-2.0"
BASE_ATTRIBUTION: Final = "Coral, Google LLC; trained on ImageNet (ILSVRC-2012) by TensorFlow's authors"


def commands(evaluation: Evaluation, name: str) -> tuple[str, ...]:
    """The two commands that make the release again, as they are typed beside the data directory."""
    return tuple(command.format(seed=evaluation.seed, name=name) for command in COMMANDS)


def make_release(repository: Path, data: Path, evaluation: Evaluation, name: str) -> Release:
    """The manifest over all files that lie in ``repository`` now, ``release.json`` itself excepted."""
    base = data / BASE_WEIGHTS
    return Release(
        name=name,
        created=date.today().isoformat(),
        models=dict.fromkeys(MODELS, VERSION),
        image_size=IMAGE_SIZE,
        thresholds=Thresholds(**evaluation.thresholds),
        files=file_digests(repository),
        training=Training(
            command=" && ".join(commands(evaluation, name)),
            seed=evaluation.seed,
            base_weights=Source(
                name=BASE_NAME,
                licence=BASE_LICENCE,
                sha256=hashlib.sha256(base.read_bytes()).hexdigest(),
                attribution=BASE_ATTRIBUTION,
            ),
            data=data_sources(data),
        ),
        evaluation=figures(evaluation),
    )


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


def figures(evaluation: Evaluation) -> Figures:
    """The chosen candidate's figures on the test part, and those of the probe under ``head_only.``."""
    probe = evaluation.test[HEAD_ONLY.name]
    compared = {f"{HEAD_ONLY.name}.{name}": value for name, value in probe.items() if not _detail(name)}
    return evaluation.test[evaluation.chosen] | compared


def _detail(name: str) -> bool:
    return name.startswith(("photos.", "top1.class.", "top1.source."))


def labels(taxonomy: Taxonomy) -> str:
    """``labels.txt``: the key of every leaf, one a line, in output order."""
    return "".join(f"{leaf.key}\n" for leaf in taxonomy)
