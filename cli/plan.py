"""``bestiary plan``: how many machines a rate and a p99 need, and what they cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli import render
from cli.options import FAILED, USAGE, complain
from contract.options import Task
from contract.slo import SloError, read_slo
from planning.curves import ASSUMED_GPU, MEASURED_HERE, read_curves
from planning.errors import CannotMeet, PlanError
from planning.node import Setup
from planning.plan import Plan, Wish, make_plan
from planning.prices import SHIPPED, read_prices
from tuning.settings import defaults

SLO_FILE = Path(__file__).parent.parent / "deploy" / "slo" / "bestiary.yaml"


def plan(
    rps: Annotated[float, typer.Option(help="Photos a second, all callers together.")],
    sku: Annotated[str, typer.Option(help="Size of machine, e.g. Standard_D4s_v5 or Standard_NC4as_T4_v3.")],
    p99: Annotated[float, typer.Option(help="Milliseconds within which 99 of 100 photos are answered.")] = 250.0,
    task: Annotated[Task, typer.Option(help="What is asked of each photo.")] = Task.SPECIES,
    photos: Annotated[
        str, typer.Option(help="Kind of photos, one that the curves have: small (uploads), trap (3 megapixels).")
    ] = "small",
    spare: Annotated[int, typer.Option(min=0, help="Nodes that may be away.")] = 1,
    instances: Annotated[
        int | None, typer.Option(min=1, show_default="of the defaults for its cores", help="Of `animals` on a node.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="of the defaults", help="Gateway processes on a node.")
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default="the shipped ones", help="Measured by `python -m benchmarks.plan_curves`."
        ),
    ] = None,
    prices: Annotated[Path, typer.Option(metavar="FILE", help="Sizes of machines and prices.")] = SHIPPED,
    slo: Annotated[Path, typer.Option(metavar="FILE", help="OpenSLO file that admission refuses by.")] = SLO_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Replicas, request units and cost for a rate of photos and a p99, and every assumption behind them.

    One node is simulated photo by photo with the service times that were
    measured (docs/planning.md); nothing is asked of any service.

    Example: bestiary plan --rps 200 --p99 250 --sku Standard_D4s_v5

    Exit codes:
    0 there is a plan
    1 no number of these machines meets the p99
    2 wrong usage: an unknown size, a file that cannot be read
    """
    try:
        table = read_prices(prices)
        chosen = table.sku(sku)
        known = read_curves(curves or (ASSUMED_GPU if chosen.gpu else MEASURED_HERE))
        tuned = defaults(chosen.cores).settings
        setup = Setup(
            cores=chosen.cores, instances=1 if chosen.gpu else tuned.instances or chosen.cores, workers=tuned.workers,
            min_inflight=tuned.min_inflight, slo_s=read_slo(slo).latency_s,
        )  # fmt: skip
        wish = Wish(rps, p99 / 1e3, sku, task, photos, spare, instances, workers)
        with _progress() as say:
            made = make_plan(wish, known, table, setup, say)
    except CannotMeet as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except (PlanError, SloError, OSError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if as_json:
        typer.echo(json.dumps(made.as_json()))
    else:
        _tell(made)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    console = render.console(sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("simulating")
        yield lambda sentence: bar.update(shown, description=sentence)


def _tell(made: Plan) -> None:
    console = render.console(sys.stdout)
    wish, sized, store, cost, setup = made.wish, made.sized, made.store, made.cost, made.setup
    title = f"{wish.per_s:g} photos/s, {wish.task} on {wish.photos} photos, p99 {1e3 * wish.p99_s:g} ms, on {wish.sku}"
    table = Table("", "", title=title, title_justify="left", show_header=False)
    kind = f"GPU nodes ({made.sku.gpu})" if made.sku.gpu else "nodes"
    for name, value in (
        (kind, f"{sized.nodes}, {sized.spare} of them spare"),
        ("on each", f"{setup.instances} instances of animals, {setup.workers} gateway worker(s), {setup.cores} vCPU"),
        ("a node carries at most", f"{sized.max_per_node_per_s:.1f} photos/s within the p99"),
        ("a node gets, spare away", f"{sized.per_node_per_s:.1f} photos/s ({sized.utilisation:.0%} of that)"),
        ("predicted p50, p99", f"{sized.p50_ms:.0f} ms, {sized.p99_ms:.0f} ms"),
        ("photos an execution", f"{sized.mean_batch:.2f}"),
        ("request units", f"{store.units_per_s:.0f}/s spent, {store.provisioned_units_per_s}/s to provision"),
        ("journals after 60 s without store", f"drained in {store.backlog_s:.0f} s"),
    ):
        table.add_row(name, value)
    table.add_section()
    for name, amount in (
        ("nodes", cost.nodes), ("request units", cost.store_units), ("records kept", cost.store_bytes),
        ("photos written", cost.blob_writes), ("photos kept", cost.blob_bytes), ("a million photos", cost.total),
    ):  # fmt: skip
        table.add_row(f"cost: {name}", f"{amount:.2f} {made.currency}")
    console.print(table)
    console.print("It takes for granted:", highlight=False)
    for sentence in made.assumptions:
        console.print(f"- {sentence}", highlight=False, soft_wrap=True, markup=False)
