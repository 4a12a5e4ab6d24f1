"""What `bestiary train --add-species` leaves behind, made without training: a release's network with more rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from contract.taxonomy import parse_taxonomy
from training.adding.base_release import read_base_release
from training.adding.taxonomy import extended, with_new_rows
from training.fit import CHECKPOINT, EVALUATION, Evaluation
from training.network import halved
from training.thresholds import Calibration

MONKEYS: tuple[Mapping[str, str], ...] = (
    {
        "leaf": "japanese_macaque", "class": "Mammalia", "order": "Primates", "family": "Cercopithecidae",
        "genus": "Macaca", "species": "Macaca fuscata", "common_name": "Japanese macaque",
    },
    {
        "leaf": "bald_uakari", "class": "Mammalia", "order": "Primates", "family": "Pitheciidae",
        "genus": "Cacajao", "species": "Cacajao calvus", "common_name": "bald uakari",
    },
)  # fmt: skip


def make_addition(folder: Path, base: Path, species: Sequence[Mapping[str, str]] = MONKEYS) -> tuple[Path, str]:
    """``checkpoint.pt`` and ``evaluation.json`` in ``folder``; the checkpoint and the text of its taxonomy.

    New rows say what their relatives' rows say, a little more quietly.
    """
    release = read_base_release(base)
    text = extended(release.taxonomy_text, species)
    network = with_new_rows(release.network, release.taxonomy, parse_taxonomy(text))
    with torch.no_grad():
        network.head.bias[-len(species) :] -= 1
    network = halved(network)
    saved = {
        "seed": 7,
        "recipe": "added",
        "temperature": release.temperature,
        "state": {name: values.half() for name, values in network.state_dict().items()},
        "taxonomy": text,
        "base_release": release.identity,
        "dataset": "monkeys@0123456789ab",
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(saved, folder / CHECKPOINT)
    (folder / EVALUATION).write_text(_evaluation(release.temperature).to_json())
    return folder / CHECKPOINT, text


def _evaluation(temperature: float) -> Evaluation:
    figures = {
        "photos.new": 40.0,
        "new.top1": 0.91,
        "new.top1.before": 0.2,
        "new.precision.bald_uakari": 0.9,
        "new.recall.bald_uakari": 0.95,
        "photos.old": 300.0,
        "old.top1.before": 0.94,
        "old.top1": 0.935,
        "forgetting.old": 0.005,
    }
    return Evaluation(
        seed=7,
        chosen="added",
        photos={"train": 100, "validation": 20, "test": 40},
        offset=0.0,
        calibration=Calibration(temperature, sure_from=0.55, empty_from=0.4, alternatives_from=0.1, coverage=0.95),
        validation={"added": {}},
        test={"added": figures},
        reliability={},
    )
