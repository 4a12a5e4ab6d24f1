"""Runs of ``bestiary loadtest``: one that is judged, or a search over several."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import typer

from cli import load_view, render
from cli.options import FAILED, complain
from contract.slo import Objective
from loadtest.find_max import Found, Trial, find_max
from loadtest.photos import PhotoSet
from loadtest.plan import Plan
from loadtest.results import REPORT_FILE, Result, keep, result_of
from loadtest.run import Run, execute
from loadtest.samples import Samples
from loadtest.server import difference, snapshot
from loadtest.summary import latencies
from loadtest.verdict import Verdict, judge

INVALID: Final = 4
"""Exit code."""


class LoadTest:
    """What stays the same over the runs of one command."""

    def __init__(
        self, plan: Plan, photos: PhotoSet, objectives: tuple[Objective, ...], headers: Mapping[str, str], listen: str,
        triton: str,
    ) -> None:  # fmt: skip
        self._plan, self._photos, self._objectives = plan, photos, objectives
        self._headers, self._listen, self._triton = headers, listen, triton
        http = plan.targets.http
        self._gateway = f"{'https' if http.tls else 'http'}://{http.address}" if http else ""
        self._console = render.console(sys.stderr)

    def once(self, callers: int, out: Path | None, as_json: bool) -> int:
        """One run, told and kept; the exit code."""
        result, _, verdict = self._measure(self._plan)
        beside: Samples | None = None
        if callers:
            beside = self._execute(replace(self._plan, callers=callers)).samples.judged
            closed = {"callers": callers, "photos": len(beside), "latency_ms": latencies(beside)}
            result = replace(result, told={**result.told, "closed_loop": closed})
        if out is not None:
            _write(out, result, beside)
        if as_json:
            typer.echo(json.dumps(result.told))
        else:
            load_view.print_result(result)
        return 0 if verdict.passes else FAILED if verdict.valid else INVALID

    def search(self, start: float, resolution: float, max_runs: int, may_refuse: float, as_json: bool) -> int:
        """Search the highest rate; the exit code."""

        def attempt(rate: float, number: int) -> Trial:
            schedule = replace(self._plan.schedule, rate=rate)
            result, run, verdict = self._measure(replace(self._plan, schedule=schedule, seed=self._plan.seed + number))
            refused = _refused_share(run.samples.judged)
            trial = Trial.INVALID
            if verdict.valid:
                trial = Trial.MET if verdict.passes and refused <= may_refuse else Trial.MISSED
            p99 = result.told["summary"]["latency_ms"]["p99"]
            self._say(f"{rate:.1f}/s: {trial.value} (p99 {p99 or 0:.0f} ms, {refused:.1%} refused)")
            for fault in verdict.faults:
                self._say(f"  {fault}")
            return trial

        found = find_max(attempt, start, resolution, max_runs)
        typer.echo(json.dumps(_found_told(found)) if as_json else _found_words(found))
        return 0 if found.rate is not None else INVALID if found.limited_by_generator else FAILED

    def _measure(self, plan: Plan) -> tuple[Result, Run, Verdict]:
        before = snapshot(self._gateway, self._triton, self._headers)
        run = self._execute(plan)
        server = difference(before, snapshot(self._gateway, self._triton, self._headers))
        verdict = judge(run, self._objectives)
        photos = {"source": self._photos.source, "kinds": self._photos.facts()}
        return result_of(run, verdict, photos=photos, server=server), run, verdict

    def _execute(self, plan: Plan) -> Run:
        title = f"closed loop of {plan.callers}" if plan.callers else f"{plan.schedule.rate:g}/s"
        with load_view.live(self._console, title) as progress:
            return execute(plan, self._photos.of, progress, headers=self._headers, listen=self._listen)

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True)


def _refused_share(samples: Samples) -> float:
    """Of good photos, those without a result."""
    good = samples.where(samples.kind != "bad")
    return 1 - float(good.ok.mean()) if len(good) else 0.0


def _write(folder: Path, result: Result, beside: Samples | None) -> None:
    from loadtest import report  # matplotlib: half a second that other runs need not wait for

    try:
        keep(result, folder)
        (folder / REPORT_FILE).write_text(report.render([result], beside), encoding="utf-8")
    except OSError as error:
        complain(f"{folder} cannot be written ({error.strerror}): the result is only told here.")


def _found_told(found: Found) -> dict[str, Any]:
    return {
        "rate": found.rate,
        "not_met_at": found.above,
        "resolution": found.resolution if found.rate and found.above else None,
        "limited_by_generator": found.limited_by_generator,
        "runs": [{"rate": rate, "outcome": trial.value} for rate, trial in found.runs],
    }


def _found_words(found: Found) -> str:
    if found.rate is None:
        return f"No rate down to {min(rate for rate, _ in found.runs):.1f}/s was met twice."
    end = f"up to {found.resolution:.1%} more may hold" if found.above else "nothing failed, so it may be far more"
    why = " The search ended at what the generator can send, not the server." if found.limited_by_generator else ""
    return f"{found.rate:.1f} photos/s, met twice; {end} ({len(found.runs)} runs).{why}"
