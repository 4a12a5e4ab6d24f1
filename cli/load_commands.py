"""The commands of ``bestiary loadtest``."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cli import load_view
from cli.load_runs import INVALID, LoadTest
from cli.options import INTERRUPTED, UNREACHABLE, Key, Token, complain, credentials
from contract.options import Task
from contract.priority import Priority
from contract.slo import SloError, read_objectives
from loadtest.photos import MixError, load_photos, read_mix, read_weights
from loadtest.plan import Plan, Protocol, Target, TargetError, read_targets
from loadtest.results import NoResult, read
from loadtest.run import GeneratorFailed
from loadtest.schedule import Arrivals, Schedule, ScheduleError, replay

SLO_FILE: Final = Path(__file__).parent.parent / "deploy" / "slo" / "bestiary.yaml"
CONNECT_LIMIT_S: Final = 5.0
DURATION: Final = re.compile(r"(\d+(?:\.\d*)?)(ms|s|m|h|)")
UNIT_S: Final = {"ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


class _Group(TyperGroup):
    """``bestiary loadtest TARGET`` is ``bestiary loadtest run TARGET``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in what is meant."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(
    name="loadtest",
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    help="Load tests that cannot flatter, with a verdict on every objective.\n\n"
    "Example: bestiary loadtest grpc://127.0.0.1:8081 --rate 50 --for 30s (as loadtest run ...; "
    "see bestiary loadtest run --help)",
)


def _seconds(text: str) -> float:
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: give e.g. 30s, 2m or 500ms.")
    return float(found[1]) * UNIT_S[found[2]]


@app.command()
def run(
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET", help="http://HOST:PORT or grpc://HOST:PORT (https, grpcs: TLS).")
    ],
    rate: Annotated[float, typer.Option(help="Photos a second; of a ramp or steps where they begin.")] = 10.0,
    arrivals: Annotated[Arrivals, typer.Option(help="How they lie in time.")] = Arrivals.POISSON,
    to: Annotated[float, typer.Option("--to", help="Rate where a ramp or steps end.")] = 0.0,
    steps: Annotated[int, typer.Option(min=1, help="How many steps.")] = 5,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV of times for a replay.")] = None,
    speed: Annotated[float, typer.Option(help="Replay so many times as fast.")] = 1.0,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30s, 2m.")] = "30s",
    warm_up: Annotated[str, typer.Option(metavar="TIME", help="Before it, not judged.")] = "2s",
    mix: Annotated[str, typer.Option(help="Shares of small, trap and bad photos.")] = "small",
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to send; without it, ones that are made here.")
    ] = None,
    users: Annotated[str, typer.Option(help="grpc, http, kserve, kserve-grpc, or shares of several.")] = "",
    tasks: Annotated[Task, typer.Option(help="What is asked of each photo.")] = Task.SPECIES,
    priority: Annotated[Priority, typer.Option(help="Of each photo.")] = Priority.INTERACTIVE,
    timeout: Annotated[float, typer.Option(min=0.01, help="Deadline of one photo, seconds.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Another seed, other arrivals.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that send, under a Locust master; 0: one alone.")] = 0,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Wait there for the --workers, started elsewhere.")
    ] = "",
    closed: Annotated[
        int, typer.Option(metavar="CALLERS", min=0, help="Then a closed loop of so many callers, for comparison.")
    ] = 0,
    slo: Annotated[Path, typer.Option(metavar="FILE", help="OpenSLO file.")] = SLO_FILE,
    triton: Annotated[str, typer.Option(metavar="URL", help="Triton's HTTP port, for batch sizes.")] = "",
    max_rate: Annotated[bool, typer.Option("--find-max", help="Search the highest rate that holds.")] = False,
    resolution: Annotated[float, typer.Option(min=0.005, max=1, help="Of the search, a share.")] = 0.05,
    max_runs: Annotated[int, typer.Option(min=1, help="Of the search, but for confirming its end.")] = 12,
    may_refuse: Annotated[float, typer.Option(min=0, max=1, help="Share of good photos refused at most.")] = 0.0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep samples, run.json and report.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    token: Token = "",
    api_key: Key = "",
) -> None:
    """Send photos at planned times and judge every objective of the SLO file.

    Latency counts from the planned time, so a server that stalls hides
    nothing. The generator watches itself: a run in which it was the bottleneck
    is INVALID and says nothing of the server.

    Example: bestiary loadtest grpc://127.0.0.1:8081 --rate 50 --arrivals poisson --for 30s --mix small=0.8,trap=0.15,bad=0.05 --out var/load

    Exit codes:
    0 valid, and every objective holds (--find-max: a rate was found)
    1 an objective does not hold or could not be judged
    2 wrong usage
    3 the target cannot be reached
    4 INVALID: the generator was the bottleneck or failed
    130 stopped by Ctrl-C
    """  # noqa: E501  # the example is one line
    try:
        where = read_targets(targets)
        speakers = users or (Protocol.GRPC if where.grpc else Protocol.HTTP).value
        shares = read_weights(speakers, [protocol.value for protocol in Protocol])
        warm_up_s = _seconds(warm_up)
        if arrivals is Arrivals.REPLAY and trace is not None:
            schedule = replay(trace, speed, warm_up_s)
        else:
            schedule = Schedule(arrivals, rate, _seconds(for_), to, steps, warm_up_s)
        plan = Plan(
            targets=where, schedule=schedule, mix=read_mix(mix),
            users={Protocol(name): share for name, share in shares.items()},
            seed=seed, tasks=tasks, priority=priority, timeout_s=timeout, workers=workers,
        )  # fmt: skip
        if listen and not workers:
            raise ScheduleError("--listen waits for --workers: say how many.")
        if max_rate and arrivals in (Arrivals.REPLAY, Arrivals.RAMP, Arrivals.STEP):
            raise ScheduleError("--find-max searches a rate: take --arrivals poisson or constant.")
        sent = load_photos(plan.mix, photos, seed)
        test = LoadTest(plan, sent, read_objectives(slo), _headers(plan, token, api_key), listen, triton.rstrip("/"))
    except (TargetError, ScheduleError, MixError, SloError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    _check_reachable(plan)
    try:
        if max_rate:
            raise typer.Exit(test.search(rate, resolution, max_runs, may_refuse, as_json))
        raise typer.Exit(test.once(closed, out, as_json))
    except GeneratorFailed as error:
        complain(str(error))
        raise typer.Exit(INVALID) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of --out.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print both results as one JSON object.")] = False,
) -> None:
    """Two runs side by side.

    Example: bestiary loadtest compare var/before var/after --out compare.html

    Exit codes: 0 compared, 2 wrong usage or a folder without a run
    """
    try:
        results = read(a), read(b)
    except NoResult as error:
        raise typer.BadParameter(str(error)) from error
    if out is not None:
        from loadtest.report import render

        out.write_text(render(results), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"a": results[0].told, "b": results[1].told}))
    else:
        load_view.print_comparison(results)


@app.command()
def worker(
    master: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where loadtest run --listen waits.")],
) -> None:
    """Send for a load test that was started on another machine, once.

    Credentials are this machine's own: BESTIARY_TOKEN or BESTIARY_API_KEY.
    What the master sends, photos and targets, is neither signed nor secret:
    use it in a network that is yours.

    Example: bestiary loadtest worker 10.0.0.5:5557
    """
    if not re.fullmatch(r".+:\d{1,5}", master):
        raise typer.BadParameter(f"{master!r} is not HOST:PORT.")
    os.execv(sys.executable, [sys.executable, "-m", "loadtest.generator", "--worker", master])  # noqa: S606


def _headers(plan: Plan, token: str, api_key: str) -> dict[str, str]:
    """Credentials; refused where they would go in clear text. Raises typer.BadParameter."""
    given: dict[str, str] = {}
    for target in _used(plan):
        given = credentials(f"{'https' if target.tls else 'http'}://{target.address}", token, api_key)
    return given


def _used(plan: Plan) -> list[Target]:
    targets = (plan.targets.http, plan.targets.grpc)
    return [target for target in targets if target is not None]


def _check_reachable(plan: Plan) -> None:
    for target in _used(plan):
        try:
            socket.create_connection((target.host, target.port), CONNECT_LIMIT_S).close()
        except OSError as error:
            complain(f"Nobody answers at {target.address} ({error}): start it with `make up`, or give another TARGET.")
            raise typer.Exit(UNREACHABLE) from error
