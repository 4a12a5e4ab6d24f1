"""The pictures of a report, each as the text of an SVG."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.samples import Samples
from loadtest.stages import split
from loadtest.wire.reply import REJECTED

COLOURS: Final = ("#1f6f8b", "#c8553d", "#6a994e", "#7b5ea7")
TAIL: Final = (0.5, 0.9, 0.99, 0.999, 0.9999)
HEAT_ROWS: Final = 40
HEAT_COLUMNS: Final = 60
SLOWEST: Final = 0.99

mpl.rcParams["svg.fonttype"] = "none"  # text stays text: smaller, and it can be searched


def cdf(samples: Mapping[str, Samples], limits_ms: Mapping[str, float]) -> str:
    """Share of photos answered within a time; the tail is drawn out, a factor of ten each step. ``limits_ms``: the
    latency objectives."""
    figure, axes = _figure(7.0, 4.2)
    for place, (name, its) in enumerate(samples.items()):
        seconds = np.sort(its.seconds[its.ok | its.unanswered])
        if len(seconds):
            rank = np.arange(len(seconds)) / len(seconds)
            colour, style = COLOURS[place % len(COLOURS)], "--" if place and "closed" in name else "-"
            axes.step(1e3 * seconds, 1 / (1 - rank), where="post", label=name, color=colour, linestyle=style)
    for name, limit in limits_ms.items():
        axes.axvline(limit, color="#999", linewidth=1)
        axes.text(limit, 1.1, f" {name}", color="#666", fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks([1 / (1 - share) for share in TAIL], [f"{100 * share:g} %" for share in TAIL])
    axes.minorticks_off()
    axes.set_ylim(bottom=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("ms from the planned time of sending")
    axes.set_ylabel("of photos, within")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    return _svg(figure)


def heat_map(samples: Samples, limits_ms: Mapping[str, float]) -> str:
    """How many photos took how long, over planned time; a stall is a slope, as later photos wait less of it."""
    figure, axes = _figure(7.0, 3.4)
    its = samples.where(samples.ok | samples.unanswered)
    if len(its):
        ms = np.maximum(1e3 * its.seconds, 0.1)
        rows = np.geomspace(ms.min() * 0.95, ms.max() * 1.05, HEAT_ROWS + 1)
        columns = np.linspace(min(its.planned.min(), 0.0), its.planned.max() + 1e-6, HEAT_COLUMNS + 1)
        counts, _, _ = np.histogram2d(its.planned, ms, (columns, rows))
        shown = np.where(counts.T > 0, counts.T, np.nan)
        mesh = axes.pcolormesh(columns, rows, shown, cmap="viridis_r", norm="log", rasterized=True)
        figure.colorbar(mesh, label="photos")
    for limit in limits_ms.values():
        axes.axhline(limit, color="#c8553d", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlabel("s from the start (before 0: warm-up)")
    axes.set_ylabel("ms")
    return _svg(figure)


def throughput(samples: Samples) -> str:
    """Photos a second, planned, answered and failed, by the second in which they were planned or ended."""
    figure, axes = _figure(7.0, 3.0)
    if len(samples):
        first, last = np.floor(samples.planned.min()), np.ceil(samples.ended.max()) + 1
        edges = np.arange(first, last + 1)
        failed = ~(samples.ok | np.isin(samples.outcome, sorted(REJECTED)))
        for name, moments, colour, style in (
            ("planned", samples.planned, "#999", ":"),
            ("answered", samples.ended[samples.ok], COLOURS[0], "-"),
            ("refused or failed", samples.ended[failed], COLOURS[1], "-"),
        ):
            counts, _ = np.histogram(moments, edges)
            axes.step(edges[:-1], counts, where="post", label=name, color=colour, linestyle=style)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s from the start")
    axes.set_ylabel("photos/s")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    axes.grid(alpha=0.3)
    return _svg(figure)


def errors(samples: Samples) -> str:
    """Photos without a result, by reason and kind; '' if there is none. Refusals of bad photos are in grey."""
    its = samples.where(~samples.ok)
    counted = Counter(zip(its.outcome.tolist(), its.kind.tolist(), strict=True)).most_common()
    if not counted:
        return ""
    figure, axes = _figure(7.0, 0.6 + 0.32 * len(counted))
    expected = [kind == "bad" and outcome in REJECTED for (outcome, kind), _ in counted]
    bars = axes.barh(
        [f"{outcome} ({kind})" for (outcome, kind), _ in counted],
        [number for _, number in counted],
        color=["#bbb" if its else COLOURS[1] for its in expected],
    )
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("photos (grey: bad ones, refused as they should be)")
    return _svg(figure)


def where(samples: Samples) -> str:
    """Milliseconds by stage, mean of all answered photos and of the slowest hundredth; '' without any."""
    its = samples.where(samples.ok)
    if not len(its):
        return ""
    slow = its.seconds >= np.quantile(its.seconds, SLOWEST)
    figure, axes = _figure(7.0, 3.2)
    left = np.zeros(2)
    palette = mpl.colormaps["tab20"]
    for place, (name, values) in enumerate(split(its).items()):
        means = np.array([values.mean(), values[slow].mean()])
        axes.barh(["all", "slowest 1 %"], means, left=left, label=f"{name} {means[0]:.1f}", color=palette(place % 20))
        left += means
    axes.invert_yaxis()
    axes.set_xlabel("ms, mean (numbers: of all)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return _svg(figure)


def batches(executions: Mapping[str, int]) -> str:
    """Executions of the model by batch size; '' if nobody counted."""
    if not executions:
        return ""
    figure, axes = _figure(7.0, 2.6)
    sizes = sorted(map(int, executions))
    bars = axes.bar([str(size) for size in sizes], [executions[str(size)] for size in sizes], color=COLOURS[0])
    axes.bar_label(bars)
    axes.set_xlabel("photos in one execution")
    axes.set_ylabel("executions")
    return _svg(figure)


def limits_ms(objectives: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The latency objectives as they are told in a result: name -> milliseconds."""
    return {one["objective"]: 1e3 * one["limit_s"] for one in objectives if one.get("limit_s") is not None}


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
