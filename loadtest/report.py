"""The HTML page of one run, or of two side by side. Nothing in it is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest import figures
from loadtest.results import Result
from loadtest.samples import Samples

CLOSED = "closed loop"


def render(results: Sequence[Result], closed: Samples | None = None) -> str:
    """The page. ``closed``: what the closed loop measured beside the only result."""
    limits = figures.limits_ms(results[0].told["verdict"]["objectives"])
    curves = {result.name: result.samples.judged for result in results}
    if closed is not None:
        curves[f"{CLOSED}, same callers wait for their answers"] = closed.judged
    rows = [
        ("Latency over time", [figures.heat_map(result.samples, limits) for result in results]),
        ("Throughput", [figures.throughput(result.samples) for result in results]),
        ("Photos without a result", [figures.errors(result.samples.judged) for result in results]),
        ("Where the time went", [figures.where(result.samples.judged) for result in results]),
        ("Batches in Triton", [figures.batches(result.told["server"].get("batches", {})) for result in results]),
    ]
    loader = FileSystemLoader(Path(__file__).parent)
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("report.html.j2")
    return page.render(results=results, cdf=figures.cdf(curves, limits), rows=rows)
