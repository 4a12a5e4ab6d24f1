"""``python -m benchmarks.rollout.broken``: releases that are broken in one way each, against a stack under load.

Each is shown to the gates as a person would publish it, and then put into the model store past them, shadowed and,
if it is still there, promoted. It has to be refused or rolled back by itself, with a reason, and meanwhile the release
from before answers every photo.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.figures import percentile
from benchmarks.rollout.background import Background
from benchmarks.stack import ROOT, Stack, StackError, running_stack, workshop
from rollout.errors import ReleaseBroken
from rollout.store import open_model_store
from tests.support.releases import make_release

KINDS: Final = (
    "corrupt onnx", "wrong shape", "missing label", "digest mismatch", "exits at load", "raises at load", "nan", "slow",
)  # fmt: skip
GATES_ONLY: Final = frozenset({"missing label"})
"""Faults that only the gates look for: `labels.txt` is for Triton's classification extension, unused here."""

PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Case:
    """What became of one broken release. ``gates``, ``outcome``: the reason, or what was missing of one."""

    kind: str
    gates: str
    outcome: str
    seconds: float
    caught: bool
    champion_answers: bool
    requests: int = 0
    failed: int = 0
    p99_ms: float = 0.0


def bestiary(stack: Stack, *arguments: str) -> tuple[int, Any, str]:
    """``bestiary releases …``: exit code, its JSON, its last complaint."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "releases", *arguments, "--store", str(stack.data / "models"), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.strip().splitlines() if "AUDIT" not in line]
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, said[-1] if said else ""


def attempt(stack: Stack, kind: str, folder: Path, load: Background) -> Case:
    """Everything with one kind."""
    champion = _champion(stack)
    identity = make_release(folder, kind.replace(" ", "-"), kind)
    code, _, said = bestiary(stack, "publish", str(folder))
    gates = said if code else "let through"
    began = time.monotonic()
    try:
        if kind in GATES_ONLY:
            raise ReleaseBroken("not tried; only the gates look at it")
        asyncio.run(open_model_store(str(stack.data / "models")).put(folder))
        outcome, caught = _roll_out(stack, identity, champion)
    except ReleaseBroken as error:
        outcome, caught = str(error), True
    ended = time.monotonic()
    record = httpx.post(
        f"http://127.0.0.1:{stack.http_port}/v1/classifications?tasks=species&priority=batch",
        content=photo_sets.load(None).photos[0],
        timeout=30,
    ).json()
    time.sleep(12)  # the generator tells of whole stretches
    samples = [sample for sample in load.samples() if began <= sample.planned < ended + 1]
    return Case(
        kind=kind,
        gates=gates,
        outcome=outcome,
        seconds=ended - began,
        caught=caught and bool(code),
        champion_answers=record.get("release") == champion == _champion(stack),
        requests=len(samples),
        failed=sum(sample.code != "OK" for sample in samples),
        p99_ms=1e3 * percentile([sample.seconds for sample in samples], 99) if samples else 0.0,
    )


def _roll_out(stack: Stack, identity: str, champion: str) -> tuple[str, bool]:
    """The reason why it went, and whether it did: at load, in shadow, or after its promotion."""
    code, _, said = bestiary(stack, "shadow", identity, "--share", "1")
    if code:
        return f"at load: {said}", True
    if (reason := _refused(stack, identity)) is not None:
        return f"in shadow: {reason}", True
    bestiary(stack, "promote", identity)
    reason = _refused(stack, identity)
    return (f"after promotion: {reason}", True) if reason is not None else ("it stayed", _champion(stack) == champion)


def _refused(stack: Stack, identity: str) -> str | None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        _, status, _ = bestiary(stack, "status")
        if identity in status["state"]["refused"]:
            return str(status["state"]["refused"][identity])
        time.sleep(1)
    return None


def _champion(stack: Stack) -> str:
    return str(bestiary(stack, "status")[1]["state"]["champion"])


def table(cases: list[Case]) -> Table:
    """The cases for a reader."""
    shown = Table("broken how", "gates", "past them", "after", "requests", "failed", "p99 ms", "champion answers")
    for case in cases:
        shown.add_row(
            case.kind, case.gates[:60], case.outcome[:70], f"{case.seconds:.0f} s", str(case.requests),
            str(case.failed), f"{case.p99_ms:.0f}", "yes" if case.champion_answers else "NO",
        )  # fmt: skip
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 all were caught and nothing failed, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout.broken", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rate", type=float, default=8.0, help="photos a second beside it (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200)
    cases = []
    try:
        with (
            workshop("broken") as folder,
            running_stack(folder) as stack,
            Background(stack.gateway_grpc, photo_sets.load(None).photos, options.rate) as load,
        ):
            for kind in options.kinds:
                cases.append(attempt(stack, kind, folder / "broken" / kind.replace(" ", "-"), load))
                print(f"{kind}: {cases[-1].outcome}", file=sys.stderr)
            everything = Counter(sample.code for sample in load.samples())
    except StackError as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(case) for case in cases]))
    else:
        console.print(table(cases))
        console.print(f"all requests: {dict(everything)}", highlight=False)
    sound = all(case.caught and case.champion_answers for case in cases)
    return 0 if sound and set(everything) == {"OK"} else 1


if __name__ == "__main__":
    raise SystemExit(main())
