"""``python -m benchmarks.recovery``: ``kill -9`` of Triton under load, again and again.

A few callers of ``bestiary.v1.Bestiary/Classify`` in a closed loop. For each kill: how soon requests fail, how long
the slowest failing one took, how soon photos are answered again, and in the end whether every acknowledged record
is in the result store.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import photos as photo_sets
from benchmarks.callers import Call, Callers
from benchmarks.cpu import family
from benchmarks.figures import machine_facts, percentile
from benchmarks.outage import Outage, UnexplainedOutage, missing_from_store, outage_of
from benchmarks.photos import NoPhotos
from benchmarks.stack import Stack, StackError, running_stack, stop, workshop
from serving.supervisor import BACKOFF_S

SERVED_AGAIN_LIMIT_S: Final = 60.0
PROMISED_S: Final = 10.0
"""Photos are to be answered again within this time."""

UNAVAILABLE: Final = "UNAVAILABLE"


def measure(options: argparse.Namespace, console: Console) -> tuple[list[Outage], list[Call], int]:
    """Kill ``options.kills`` times. Returns the outages, all calls, and how many acknowledged records are missing.

    Raises StackError, UnexplainedOutage.
    """
    photos = photo_sets.load(None)
    with workshop("recovery") as folder, running_stack(folder) as stack:
        with Callers(stack.gateway_grpc, photos, options.callers) as callers:
            kills = []
            callers.wait_answered(20, SERVED_AGAIN_LIMIT_S)
            for number in range(1, options.kills + 1):
                time.sleep(options.pause)
                kills.append(kill_triton(stack))
                console.print(f"kill {number} of {options.kills}")
                callers.wait_failed_since(kills[-1], SERVED_AGAIN_LIMIT_S)
                callers.wait_answered(20, SERVED_AGAIN_LIMIT_S)
            time.sleep(options.pause)
        calls = callers.calls()
        stop(stack)  # which drains the journal into the store
        missing = missing_from_store(stack.results, [call.record_id for call in calls if call.record_id])
    ends = [*kills[1:], float("inf")]
    backoffs = [BACKOFF_S[min(number, len(BACKOFF_S) - 1)] for number in range(len(kills))]
    outages = [
        outage_of(calls, killed, until, backoff_s=backoff)
        for killed, until, backoff in zip(kills, ends, backoffs, strict=True)
    ]
    return outages, calls, missing


def kill_triton(stack: Stack) -> float:
    """SIGKILL the running ``tritonserver``; returns when, on the monotonic clock. Raises StackError."""
    servers = [process.pid for process in family(stack.process.pid) if process.role == "tritonserver"]
    if len(servers) != 1:
        raise StackError(f"There are {len(servers)} Tritons under `bestiary up` instead of one.")
    os.kill(servers[0], signal.SIGKILL)
    return time.monotonic()


def print_result(console: Console, outages: list[Outage], calls: list[Call], missing: int) -> None:
    """One row per kill, then what holds for the whole run."""
    table = Table(title="kill -9 of tritonserver under load", title_justify="left")
    for name in (
        "kill", "first failure after s", "slowest failing request s", "served again after s",
        "of it backoff s", "failures", "other than UNAVAILABLE",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for number, outage in enumerate(outages, 1):
        others = {code: times for code, times in outage.failures.items() if code != UNAVAILABLE}
        table.add_row(
            str(number),
            f"{outage.first_failure_s:.3f}",
            f"{outage.slowest_failure_s:.3f}",
            f"{outage.served_again_s:.2f}",
            f"{outage.backoff_s:.1f}",
            str(sum(outage.failures.values())),
            ", ".join(f"{code} {times}" for code, times in others.items()) or "none",
        )
    console.print(table)
    answered = [call.seconds for call in calls if call.record_id]
    console.print(
        f"{len(answered)} photos acknowledged (durable), {missing} of their records missing from the result store.\n"
        f"Answered requests took p50 {1e3 * percentile(answered, 50):.0f} ms, p99 "
        f"{1e3 * percentile(answered, 99):.0f} ms, the slowest {max(answered):.2f} s.\n"
        f"Served again after at most {max(outage.served_again_s for outage in outages):.2f} s.",
        highlight=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 kept, 1 a promise was broken or something failed."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 110)
    machine = machine_facts()
    try:
        outages, calls, missing = measure(options, console)
    except (NoPhotos, StackError, UnexplainedOutage) as error:
        print(f"recovery: {error}", file=sys.stderr)
        return 1
    print_result(console, outages, calls, missing)
    if options.json is not None:
        facts = {"machine": machine, "kills": [asdict(outage) for outage in outages], "missing": missing}
        facts["acknowledged"] = sum(1 for call in calls if call.record_id)
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if kept(outages, missing) else 1


def kept(outages: list[Outage], missing: int) -> bool:
    """Whether nothing is missing, only UNAVAILABLE was seen, and every outage was short enough."""
    return missing == 0 and all(
        outage.served_again_s <= PROMISED_S and set(outage.failures) <= {UNAVAILABLE} for outage in outages
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="how often Triton is killed (default 5)")
    parser.add_argument("--callers", type=int, default=4, help="requests in flight (default 4)")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds of service before each kill (default 5)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
