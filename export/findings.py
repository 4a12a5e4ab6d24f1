"""Everything that was measured of a release: what training wrote down, and what the export itself finds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.release import Thresholds
from export.errors import RepositoryError
from training.detector.fit import DetectorEvaluation
from training.evaluate import Figures
from training.fit import CHECKPOINT, EVALUATION, HEAD_ONLY, Evaluation
from training.leave_out import LEAVE_OUT

DETECTOR_PREFIX: Final = "detector."
LEFT_OUT_PREFIX: Final = "left_out."
INT8_PREFIX: Final = "int8."


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures of both networks. ``int8`` are those of the 8-bit classifier, ``dali`` of DALI's decoder, if any."""

    classifier: Evaluation
    detector: DetectorEvaluation
    left_out: Figures
    int8: Figures
    dali: Figures

    @property
    def thresholds(self) -> Thresholds:
        """The release's defaults."""
        chosen = self.classifier.calibration
        return Thresholds(
            detect_from=self.detector.thresholds["detect_from"],
            overlap=self.detector.thresholds["overlap"],
            sure_from=chosen.sure_from,
            empty_from=chosen.empty_from,
            alternatives_from=chosen.alternatives_from,
            coverage=chosen.coverage,
        )

    @property
    def figures(self) -> Figures:
        """All on the test part by name: the classifier's as they are, the others' with a prefix."""
        test = self.classifier.test
        probe = {f"{HEAD_ONLY.name}.{name}": value for name, value in test[HEAD_ONLY.name].items() if _headline(name)}
        found = {f"{DETECTOR_PREFIX}{name}": value for name, value in self.detector.test["after"].items()}
        start = {f"{DETECTOR_PREFIX}start.{name}": value for name, value in self.detector.test["before"].items()}
        left_out = {f"{LEFT_OUT_PREFIX}{name}": value for name, value in self.left_out.items()}
        int8 = {f"{INT8_PREFIX}{name.removeprefix(INT8_PREFIX)}": value for name, value in self.int8.items()}
        return test[self.classifier.chosen] | probe | found | start | left_out | int8 | self.dali


def _headline(name: str) -> bool:
    return not name.startswith(("photos.", "top1.class.", "top1.source.")) and name.count(".") < 2


def read_findings(checkpoint: Path, detector: Path, dali: Path | None) -> Findings:
    """What lies beside the two checkpoints; ``int8`` is still empty. Raises RepositoryError if something is missing."""
    return Findings(
        classifier=Evaluation.from_json(_text(checkpoint.with_name(EVALUATION), "fit")),
        detector=DetectorEvaluation.from_json(_text(detector.with_name(EVALUATION), "fit-detector")),
        left_out=json.loads(_text(checkpoint.with_name(LEAVE_OUT), "leave-out")),
        int8={},
        dali={} if dali is None else json.loads(_text(dali, "dali-parity")),
    )


def _text(file: Path, command: str) -> str:
    if not file.is_file():
        raise RepositoryError(f"There is no {file}. Make it with the command {command}, beside its {CHECKPOINT}.")
    return file.read_text(encoding="utf-8")
