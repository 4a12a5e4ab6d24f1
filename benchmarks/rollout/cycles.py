"""Promote and roll back again and again under load, and see whether anything is lost or grows.

    python -m benchmarks.rollout.cycles --cycles 50 --callers 2

A whole ``bestiary up``; a copy of its release under another name is the challenger, so that only the swap can make a
difference. Photos are sent at a steady pace all along. Compared are the times of photos near a swap with those of the
same load without any, before and after; and memory, processes and shared memory before and after the cycles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.cpu import family
from benchmarks.stack import ROOT, Stack, StackError, running_stack, workshop
from contract.manifest import MANIFEST_NAME, identity_of
from contract.rollout import Stage
from rollout.errors import RolloutError
from rollout.operator import Operator
from rollout.store import open_model_store

NEAR_S: Final = 1.5
"""A photo is near a swap if it was sent at most so long after it: gateways have heard of it by then."""

SHARED_MEMORY: Final = Path("/dev/shm")  # where Linux keeps POSIX shared memory


@dataclass(slots=True)
class Load:
    """Callers at a steady pace. ``sent``: seconds of the monotonic clock, of the answer, and who answered."""

    url: str
    photo: bytes
    callers: int
    pause_s: float
    sent: list[tuple[float, float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start all callers."""
        self.threads = [threading.Thread(target=self._call) for _ in range(self.callers)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End them after their photos in work."""
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _call(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            while not self.ended.wait(self.pause_s):
                began = time.monotonic()
                try:
                    answer = client.post("/v1/classifications", content=self.photo)
                    if answer.is_success:
                        self.sent.append((began, time.monotonic() - began, answer.json()["release"]))
                    else:
                        self.failed.append(f"{answer.status_code} {answer.text[:200]}")
                except httpx.TransportError as error:
                    self.failed.append(repr(error))


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the stack holds: resident memory of all its processes, how many they are, bytes in /dev/shm."""

    rss_mib: float
    processes: int
    shared_mib: float
    shared_regions: int


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds where not said otherwise."""

    cycles: int
    photos: int
    failed: int
    heard_s_max: float
    """From the write of the state until every caller is answered by the release: the slowest swap, seconds."""
    steady_p50: float
    steady_p99: float
    swap_p50: float
    swap_p99: float
    before: Holdings
    after: Holdings


def holdings(stack: Stack) -> Holdings:
    """As of now."""
    processes = family(stack.process.pid)
    regions = [region for region in SHARED_MEMORY.glob(f"bestiary-{stack.process.pid}-*")]
    return Holdings(
        sum(map(_rss_mib, (process.pid for process in processes))),
        len(processes),
        sum(region.stat().st_blocks * 512 for region in regions) / 2**20,
        len(regions),
    )


def _rss_mib(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except FileNotFoundError:
        return 0.0
    return int(fields[1]) * 4096 / 2**20


def copied_release(target: Path, name: str) -> None:
    """The committed release under another name: only its identity differs."""
    shutil.copytree(ROOT / "model_repository", target, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = target / "animals" / "1" / MANIFEST_NAME
    document = json.loads(manifest.read_text())
    document["name"] = name
    manifest.write_text(json.dumps(document, indent=2) + "\n")


def measure(stack: Stack, load: Load, cycles: int, steady_s: float, second: Path) -> Result:
    """All of it on a running stack. Raises RolloutError, StackError."""
    manifest = (second / "animals" / "1" / MANIFEST_NAME).read_text()
    challenger = identity_of(json.loads(manifest)["name"], manifest)
    store = open_model_store(stack.data / "models")
    operator = Operator(store, "benchmark")
    asyncio.run(store.put(second))
    first = asyncio.run(operator.overview()).state.champion
    asyncio.run(operator.stage(challenger, Stage.SHADOW, 0.0))
    load.start()
    try:
        steady = [_quiet(load, steady_s)]
        _swap(operator, load, challenger)
        _swap(operator, load, None, first)
        before = holdings(stack)
        swaps, heard = [], []
        for cycle in range(cycles):
            for to, release in ((challenger, challenger), (None, first)):
                swaps.append(time.monotonic())
                heard.append(_swap(operator, load, to, release))
            print(f"\rcycle {cycle + 1} of {cycles}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        after = holdings(stack)
        steady.append(_quiet(load, steady_s))
    finally:
        load.stop()
    quiet = [took for began, end in steady for sent, took, _ in load.sent if began <= sent < end]
    near = [took for sent, took, _ in load.sent if any(0 <= sent - at < NEAR_S for at in swaps)]
    return Result(
        cycles, len(load.sent), len(load.failed), max(heard), _ms(quiet, 0.5), _ms(quiet, 0.99), _ms(near, 0.5),
        _ms(near, 0.99), before, after,
    )  # fmt: skip


def _quiet(load: Load, seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def _swap(operator: Operator, load: Load, to: str | None, release: str | None = None) -> float:
    """Promote ``to``, or roll back; return how long it took until only ``release`` answers, seconds."""
    at = time.monotonic()
    asyncio.run(operator.promote(to, 0) if to else operator.rollback(None, ""))
    expected = release or to
    while True:
        if time.monotonic() - at > 30:
            raise StackError(f"{expected} did not answer within 30 s of its promotion.")
        since = [who for sent, _, who in load.sent[-2 * load.callers :] if sent >= at]
        if len(since) == 2 * load.callers and set(since) == {expected}:
            return time.monotonic() - at
        time.sleep(0.02)


def _ms(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def print_result(result: Result) -> None:
    """As a table."""
    table = Table(title=f"{result.cycles} promotions and rollbacks under load", title_justify="left")
    table.add_column("")
    for column in ("p50 ms", "p99 ms"):
        table.add_column(column, justify="right")
    table.add_row("steady", f"{result.steady_p50:.1f}", f"{result.steady_p99:.1f}")
    table.add_row(f"up to {NEAR_S:g} s after a swap", f"{result.swap_p50:.1f}", f"{result.swap_p99:.1f}")
    held = Table(title="What the stack holds", title_justify="left")
    for column in ("", "before", "after"):
        held.add_column(column, justify="left" if not column else "right")
    before, after = result.before, result.after
    held.add_row("memory, MiB", f"{before.rss_mib:.0f}", f"{after.rss_mib:.0f}")
    held.add_row("processes", str(before.processes), str(after.processes))
    held.add_row("shared memory, MiB", f"{before.shared_mib:.1f}", f"{after.shared_mib:.1f}")
    held.add_row("shared memory, regions", str(before.shared_regions), str(after.shared_regions))
    console = Console(width=100)
    console.print(table)
    console.print(held)
    console.print(
        f"{result.photos} photos, {result.failed} failed; the slowest swap was heard of in {result.heard_s_max:.1f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run it; 0 if no photo failed, 1 if one did or the stack did not start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=ROOT / "rollout" / "gates" / "cat.jpg", help="photo to send")
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--callers", type=int, default=2)
    parser.add_argument("--pause-ms", type=float, default=40.0, help="between a caller's photos")
    parser.add_argument("--steady", type=float, default=20.0, help="seconds without a swap, before and after")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    try:
        with workshop("cycles") as folder, running_stack(folder) as stack:
            copied_release(folder / "second", "second")
            url = f"http://127.0.0.1:{stack.http_port}"
            load = Load(url, options.photo.read_bytes(), options.callers, options.pause_ms / 1e3)
            result = measure(stack, load, options.cycles, options.steady, folder / "second")
    except (StackError, RolloutError, OSError) as error:
        print(f"benchmarks.rollout.cycles: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(asdict(result), indent=2))
    else:
        print_result(result)
    for failure in load.failed[:5]:
        print(failure, file=sys.stderr)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
