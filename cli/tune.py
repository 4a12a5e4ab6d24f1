"""``bestiary tune``: settings for the machine that it is on, found by measuring, for ``bestiary up`` to read."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli import render
from cli.options import FAILED, INTERRUPTED, USAGE, complain
from contract.options import Task
from contract.slo import SloError, read_slo
from tuning.settings import TUNED_NAME, Tuned, defaults, write_settings

if TYPE_CHECKING:  # needs the loadtest extra
    from tuning.search import Found

SLO_FILE = Path(__file__).parent.parent / "deploy" / "slo" / "bestiary.yaml"
_NEEDS = ("locust", "optuna")


def tune(
    minutes: Annotated[float, typer.Option(min=0.0, help="How long to search; confirming takes a minute more.")] = 4.0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=f"DATA/{TUNED_NAME}", help="Where they are written."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Data directory of `bestiary up`; its disk counts, too.")] = Path("var"),
    repository: Annotated[Path, typer.Option(help="Release to measure with.")] = Path("model_repository"),
    task: Annotated[Task, typer.Option(help="What is asked of each photo.")] = Task.SPECIES,
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Photos to send; without it small ones are made.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each measurement.")] = 6.0,
    slo: Annotated[Path, typer.Option(metavar="FILE", help="OpenSLO file with the latency to keep.")] = SLO_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of sentences.")] = False,
) -> None:
    """Find instances, gateway workers and places in Triton for this machine, and write them down.

    Starts a stack of its own for each trial, so nothing else should run here
    meanwhile. The shipped settings stay unless something is clearly better.

    Example: bestiary tune && bestiary up

    Exit codes:
    0 written
    1 a stack or the load generator failed; nothing was written
    2 wrong usage, or the extra loadtest is not installed
    130 interrupted; nothing was written
    """
    if missing := [name for name in _NEEDS if importlib.util.find_spec(name) is None]:
        complain(f"{', '.join(missing)} is not installed: pip install 'bestiary[loadtest]', or make install-dev.")
        raise typer.Exit(USAGE)
    from cli.tuning_bench import BenchError
    from loadtest.run import GeneratorFailed

    target, cores = out or data / TUNED_NAME, len(os.sched_getaffinity(0))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stack must not be left behind
    try:
        found = _search(data, repository, photos, task, seconds, slo, cores, 60 * minutes)
        source = f"bestiary tune on {datetime.now(UTC).date().isoformat()}, {task}, {cores} cores"
        tuned = Tuned(settings=found.settings, source=source, cores=cores)
        write_settings(target, tuned, [trial.told() for trial in found.trials])
    except (BenchError, GeneratorFailed, OSError) as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        complain("Interrupted: nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    _tell(found, target, as_json)


def _search(
    data: Path,
    repository: Path,
    photos: Path | None,
    task: Task,
    seconds: float,
    slo: Path,
    cores: int,
    budget_s: float,
) -> Found:
    from cli.tuning_bench import Bench
    from loadtest.photos import Kind, MixError, load_photos
    from tuning.search import search

    try:
        objective = read_slo(slo)
        chosen = load_photos({Kind.SMALL: 1.0}, photos)
    except (SloError, MixError, OSError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if not repository.is_dir():
        complain(f"There is no model repository at {repository}: give --repository.")
        raise typer.Exit(USAGE)
    bench = Bench(
        repository, data, chosen, task, callers=6 * cores, seconds=seconds, slo_s=objective.latency_s,
        share=objective.latency_share,
    )  # fmt: skip
    with _progress() as say:
        return search(bench.closed, bench.open, defaults(cores).settings, cores, budget_s, say=say)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Finished trials stay as lines, what is being done is the last one."""
    console = render.console(sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("starting")

        def say(sentence: str) -> None:
            bar.update(shown, description=sentence)
            if not sentence.endswith("..."):
                console.print(sentence, highlight=False, soft_wrap=True)

        yield say


def _tell(found: Found, target: Path, as_json: bool) -> None:
    settings = found.settings
    if as_json:
        typer.echo(json.dumps({
            "settings": settings.model_dump(), "closed_loop_per_s": found.closed_per_s,
            "shipped_closed_loop_per_s": found.shipped_per_s, "open_loop_per_s": found.open_per_s, "file": str(target),
            "trials": [trial.told() for trial in found.trials],
        }))  # fmt: skip
        return
    typer.echo(
        f"{settings.instances} instances of animals, {settings.workers} gateway worker(s), "
        f"{settings.min_inflight} places in Triton: {found.closed_per_s:.1f} photos/s in a closed loop, "
        f"{found.gain:+.0%} over the shipped settings."
    )
    if found.open_per_s is None:
        typer.echo("In the open loop no rate down to half of that was within the SLO: is the machine quiet?")
    else:
        typer.echo(f"In the open loop {found.open_per_s:.1f} photos/s were within the SLO.")
    typer.echo(f"Written to {target}; `bestiary up` reads it from its data directory, or with --settings.")
