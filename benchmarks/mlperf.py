"""``python -m benchmarks.mlperf``: MLPerf LoadGen's Server scenario and ``bestiary loadtest`` in turn, at one rate.

A cross-check of our load generator by one that nobody here wrote: LoadGen draws its own Poisson arrivals, counts from
the planned time as well, and has a verdict of its own. It calls ``bestiary.v1`` with messages that are ready. Needs
``pip install mlcommons-loadgen`` (not in requirements/) beside the development environment.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.figures import machine_facts
from benchmarks.photos import different, load
from benchmarks.stack import ROOT, StackError, running_stack, workshop
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.slo import read_objectives, read_slo
from loadtest.photos import Kind
from loadtest.plan import Plan, Protocol, read_targets
from loadtest.run import GeneratorFailed, execute
from loadtest.samples import percentile
from loadtest.schedule import Arrivals, Schedule
from loadtest.verdict import judge

SLO_FILE: Final = ROOT / "deploy" / "slo" / "bestiary.yaml"
METHOD: Final = "/bestiary.v1.Bestiary/Classify"
CHANNELS: Final = 4
CALL_TIMEOUT_S: Final = 5.0
WARM_UP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One generator's word. Rates in photos a second, times in milliseconds from the planned time."""

    generator: str
    offered_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    verdict: str
    outcomes: dict[str, int]


class Sut:
    """The system under test as LoadGen sees it: queries go out as calls, and are complete when they are answered."""

    def __init__(self, loadgen: Any, address: str, photos: Sequence[bytes]) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        self._loadgen = loadgen
        self._channels = [grpc.insecure_channel(address, options) for _ in range(CHANNELS)]
        self._calls = itertools.cycle([channel.unary_unary(METHOD) for channel in self._channels])
        self._photos: Iterator[bytes] = different(photos)
        self._lock = threading.Lock()
        self.outcomes: Counter[str] = Counter()

    def issue(self, queries: Sequence[Any]) -> None:
        """Send; never waits."""
        for query in queries:
            request = pb.ClassifyRequest(photo=next(self._photos), tasks="TASKS_SPECIES").SerializeToString()
            call = next(self._calls).future(request, timeout=CALL_TIMEOUT_S)
            call.add_done_callback(lambda done, number=query.id: self._answered(done, number))

    def _answered(self, call: Any, number: int) -> None:
        code = call.code().name
        with self._lock:
            self.outcomes["ok" if code == "OK" else code.lower()] += 1
        self._loadgen.QuerySamplesComplete([self._loadgen.QuerySampleResponse(number, 0, 0)])

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()


def by_loadgen(address: str, photos: Sequence[bytes], rate: float, seconds: float) -> Measured:
    """LoadGen's Server scenario. Raises ModuleNotFoundError where it is not installed."""
    import mlperf_loadgen as loadgen  # type: ignore[import-not-found]

    slo = read_slo(SLO_FILE)
    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate
    settings.server_target_latency_ns = int(1e9 * slo.latency_s)
    settings.server_target_latency_percentile = slo.latency_share
    settings.min_duration_ms, settings.max_duration_ms = int(1e3 * seconds), int(1e3 * seconds)
    settings.min_query_count = max(int(0.5 * rate * seconds), 1)
    sut = Sut(loadgen, address, photos)
    with tempfile.TemporaryDirectory() as folder:
        log = loadgen.LogSettings()
        log.log_output.outdir = folder
        log.log_output.copy_summary_to_stdout = False
        handle = loadgen.ConstructSUT(sut.issue, sut.flush)
        library = loadgen.ConstructQSL(len(photos), len(photos), lambda _: None, lambda _: None)
        try:
            loadgen.StartTestWithLogSettings(handle, library, settings, log)
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(handle)
            sut.close()
        told = read_summary((Path(folder) / "mlperf_log_summary.txt").read_text())
    return Measured(
        generator="MLPerf LoadGen, Server",
        offered_per_s=float(told.get("Scheduled samples per second", "nan")),
        p50_ms=float(told["50.00 percentile latency (ns)"]) / 1e6,
        p90_ms=float(told["90.00 percentile latency (ns)"]) / 1e6,
        p99_ms=float(told["99.00 percentile latency (ns)"]) / 1e6,
        verdict=told["Result is"],
        outcomes=dict(sut.outcomes),
    )


def read_summary(text: str) -> dict[str, str]:
    """``name : value`` lines of LoadGen's summary; the first of a name counts."""
    told: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(" : ")
        if colon:
            told.setdefault(name.strip(), value.strip())
    return told


def by_loadtest(address: str, photos: Sequence[bytes], rate: float, seconds: float) -> Measured:
    """Ours. Raises GeneratorFailed."""
    schedule = Schedule(Arrivals.POISSON, rate, seconds)
    plan = Plan(read_targets([f"grpc://{address}"]), schedule, {Kind.SMALL: 1.0}, {Protocol.GRPC: 1.0})
    run = execute(plan, {Kind.SMALL: photos})
    samples, verdict = run.samples.judged, judge(run, read_objectives(SLO_FILE))
    return Measured(
        generator="bestiary loadtest",
        offered_per_s=len(samples) / seconds,
        p50_ms=1e3 * percentile(samples.seconds, 50),
        p90_ms=1e3 * percentile(samples.seconds, 90),
        p99_ms=1e3 * percentile(samples.seconds, 99),
        verdict=("VALID" if verdict.valid else "INVALID") + (", PASS" if verdict.passes else ", FAIL"),
        outcomes=dict(Counter(samples.outcome.tolist())),
    )


def table(measured: Sequence[Measured]) -> Table:
    """For a reader."""
    shown = Table("generator", "offered/s", "p50 ms", "p90 ms", "p99 ms", "verdict", "outcomes")
    for one in measured:
        outcomes = ", ".join(f"{name} {number}" for name, number in one.outcomes.items())
        figures = (one.offered_per_s, one.p50_ms, one.p90_ms, one.p99_ms)
        shown.add_row(one.generator, *(f"{value:.1f}" for value in figures), one.verdict, outcomes)
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 both ran, 1 something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=30.0, help="photos a second (30)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run (30)")
    parser.add_argument("--rounds", type=int, default=2, help="of both in turn (2)")
    parser.add_argument("--photos", type=Path, help="folder; by default small ones")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    machine, photos = machine_facts(), load(options.photos).photos
    measured: list[Measured] = []
    try:
        with contextlib.ExitStack() as stack:
            gateway = stack.enter_context(running_stack(stack.enter_context(workshop("mlperf")))).gateway_grpc
            by_loadtest(gateway, photos, options.rate, WARM_UP_S)
            for _ in range(options.rounds):
                measured.append(by_loadgen(gateway, photos, options.rate, options.seconds))
                measured.append(by_loadtest(gateway, photos, options.rate, options.seconds))
    except ModuleNotFoundError as error:
        print(f"mlperf: {error}: pip install mlcommons-loadgen.", file=sys.stderr)
        return 1
    except (StackError, GeneratorFailed) as error:
        print(f"mlperf: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"machine": machine, "runs": [asdict(one) for one in measured]}))
    else:
        Console(width=None if sys.stdout.isatty() else 130).print(table(measured), machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
