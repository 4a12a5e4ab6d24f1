"""Plots of a report, each as the text of an SVG picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from training.adding.trainer import LOSS, History
from training.reliability import BINS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE: Final = "#2f6690"
_ORANGE: Final = "#d97b29"
_GREY: Final = "#8a8f98"


def epochs(history: History) -> str:
    """Losses, and top-1 on validation, by epoch; the epoch that was kept is marked."""
    figure = _figure(9.0, 3.0)
    left, right = figure.subplots(1, 2)
    for name, label, colour in (
        ("train.loss", "training", _GREY),
        ("validation.new.loss", "new species", _ORANGE),
        ("validation.old.loss", "old species", _BLUE),
        ("validation.divergence", "divergence from the base", "#6a994e"),
    ):
        _line(left, history, name, label, colour)
    for name, label, colour in (
        ("validation.new.top1", "new species", _ORANGE),
        ("validation.old.top1", "old species", _BLUE),
    ):
        _line(right, history, name, label, colour)
    for panel, title in ((left, "loss, nats"), (right, "top-1 on validation photos")):
        panel.axvline(history.best, color="#bbbbbb", linestyle="--", linewidth=1)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend(fontsize=8, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    left.set_ylim(bottom=0)
    assert LOSS in history.epochs[0]
    return _svg(figure)


def confusion(names: Sequence[str], matrix: npt.NDArray[np.int64]) -> str:
    """Truth by row, answer by column; shade is the share of the row, numbers are photos."""
    side = 1.9 + 0.52 * len(names)
    figure = _figure(side + 0.8, side)
    panel = figure.subplots()
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [name.replace("_", " ") for name in names]
    panel.set_xticks(range(len(names)), shown, rotation=45, ha="right", fontsize=8)
    panel.set_yticks(range(len(names)), shown, fontsize=8)
    panel.set_xlabel("answer")
    panel.set_ylabel("truth")
    for row, column in np.argwhere(matrix > 0):
        dark = shares[row, column] > 0.5
        panel.text(
            column, row, str(matrix[row, column]), ha="center", va="center", fontsize=8,
            color="white" if dark else "#333333",
        )  # fmt: skip
    return _svg(figure)


def reliability(curves: dict[str, dict[str, list[float]]]) -> str:
    """Share of right answers by probability of the best species, before and after temperature scaling."""
    figure = _figure(8.0, 3.2)
    edges = np.arange(BINS) / BINS
    for panel, (name, curve) in zip(figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True):
        error = float(np.dot(curve["share"], np.abs(np.subtract(curve["accuracy"], curve["confidence"]))))
        panel.bar(edges, curve["accuracy"], width=1 / BINS, align="edge", color=_BLUE, edgecolor="white")
        panel.plot((0, 1), (0, 1), color="#555555", linestyle="--", linewidth=1)
        panel.set_title(f"{name} temperature scaling: ECE {100 * error:.1f} %", fontsize=10)
        panel.set_xlabel("probability of the best species")
        panel.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of right answers")
    return _svg(figure)


def _line(panel: object, history: History, name: str, label: str, colour: str) -> None:
    points = [(epoch, figures[name]) for epoch, figures in enumerate(history.epochs) if name in figures]
    if points:
        panel.plot(*zip(*points, strict=True), label=label, color=colour, marker=".")  # type: ignore[attr-defined]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "bestiary", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
