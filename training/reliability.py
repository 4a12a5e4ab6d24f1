"""Whether answers are as often right as the network says: expected calibration error and the diagram of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 15
"""Of equal width, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """By bin of the best species' probability: its mean, the share of right answers, the share of all photos."""

    confidence: list[float]
    accuracy: list[float]
    share: list[float]

    @property
    def error(self) -> float:
        """The expected calibration error, equation 3 of Guo et al.: mean |accuracy - confidence| over photos."""
        return sum(
            share * abs(accuracy - confidence)
            for confidence, accuracy, share in zip(self.confidence, self.accuracy, self.share, strict=True)
        )


def reliability(confidence: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_]) -> Reliability:
    """Bins over probabilities FP32 [N] and whether each answer was right, BOOL [N]. Empty bins are 0 throughout."""
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = np.maximum(count, 1)
    return Reliability(
        confidence=_rounded(np.bincount(place, confidence, BINS) / filled),
        accuracy=_rounded(np.bincount(place, correct, BINS) / filled),
        share=_rounded(count / max(1, len(place))),
    )


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]


def draw(curves: dict[str, Reliability], file: Path) -> None:
    """The reliability diagram as a PNG: a panel for each curve, with the share of photos below it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    edges = np.arange(BINS) / BINS
    figure, panels = pyplot.subplots(
        2, len(curves), figsize=(4 * len(curves), 5), height_ratios=(3, 1), sharex=True, sharey="row", squeeze=False
    )
    for (name, curve), (upper, lower) in zip(curves.items(), panels.T, strict=True):
        upper.bar(edges, curve.accuracy, width=1 / BINS, align="edge", color="#4c78a8", edgecolor="white")
        upper.plot((0, 1), (0, 1), color="#555555", linestyle="--", linewidth=1)
        upper.set_title(f"{name}: ECE {100 * curve.error:.1f} %", fontsize=11)
        lower.bar(edges, curve.share, width=1 / BINS, align="edge", color="#bab0ac", edgecolor="white")
        lower.set_xlabel("probability of the best species")
        lower.set_xlim(0, 1)
    panels[0, 0].set_ylabel("share of right answers")
    panels[1, 0].set_ylabel("share of photos")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
