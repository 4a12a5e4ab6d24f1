"""The tables of ``serving_tax``, from its figures as they are in the JSON file."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import spread
from benchmarks.rounds import CLIENT


def print_result(console: Console, facts: dict[str, Any], *, left_out: int) -> None:
    """Rates and latencies, the tax, CPU per process, batch sizes, distance from the bound."""
    machine, photos = facts["machine"], facts["photos"]
    console.print(
        f"\n{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['date']}, "
        f"load before the run {machine['load_average_1min']}\n"
        f"Photos: {photos['name']}, {photos['mean_bytes'] / 1e3:.0f} kB each on average"
        + (f" ({left_out} files left out that do not decode)" if left_out else "")
        + f". Closed loop, {facts['concurrency']} in flight.\n"
        f"The gateway acknowledges as `{facts['ack']}`: before each answer the photo is in the blob store and its "
        f"record in the journal, both fsynced; it kept {facts['different_photos_kept']} different "
        "ones, warm-up included, all byte for byte as sent.",
        highlight=False,
    )
    console.print(_rates(facts))
    console.print(
        f"The gateway's tax: throughput x{facts['throughput_ratio']:.3f} of Triton's, "
        f"p50 {facts['added_p50_ms']:+.1f} ms at {facts['concurrency']} in flight.\n",
        highlight=False,
    )
    console.print(_costs(facts))
    console.print(_batches(facts))


def _rates(facts: dict[str, Any]) -> Table:
    table = Table(title="Throughput and latency", title_justify="left")
    table.add_column("")
    for name in ("photos/s", "rounds", "p50 ms", "p95 ms", "p99 ms", "of the bound"):
        table.add_column(name, justify="right")
    for target in ("gateway", "triton"):
        figures = facts[target]
        latencies = [f"{figures[f'p{percent}_ms']:.1f}" for percent in (50, 95, 99)]
        table.add_row(
            target,
            f"{figures['photos_per_s']:.1f}",
            spread(figures["rounds_photos_per_s"]),
            *latencies,
            f"{facts[f'{target}_over_bound']:.2f}",
        )
    table.add_row("bound, no server", f"{facts['bound']['photos_per_s']:.1f}", "", "", "", "", "1.00")
    return table


def _costs(facts: dict[str, Any]) -> Table:
    gateway, triton = (facts[target]["cpu_ms_per_photo"] for target in ("gateway", "triton"))
    bound_ms = facts["bound"]["cpu_ms_per_photo"]
    table = Table(title="CPU milliseconds per photo", title_justify="left")
    table.add_column("process")
    for name in ("through the gateway", "through Triton", "difference"):
        table.add_column(name, justify="right")
    servers = [role for role in sorted(gateway, key=lambda role: -gateway[role]) if role != CLIENT]
    for role in servers:
        table.add_row(role, *_pair(gateway[role], triton.get(role, 0.0)))
    table.add_section()
    sums = [sum(costs[role] for role in servers if role in costs) for costs in (gateway, triton)]
    table.add_row("all servers", *_pair(*sums))
    table.add_row("bound, no server", f"{bound_ms:.2f}", f"{bound_ms:.2f}", "")
    table.add_row("servers over bound", f"x{sums[0] / bound_ms:.2f}", f"x{sums[1] / bound_ms:.2f}", "")
    table.add_section()
    table.add_row(f"{CLIENT} (client)", *_pair(gateway[CLIENT], triton[CLIENT]))
    return table


def _pair(gateway: float, triton: float) -> tuple[str, str, str]:
    return f"{gateway:.2f}", f"{triton:.2f}", f"{gateway - triton:+.2f}"


def _batches(facts: dict[str, Any]) -> Table:
    table = Table(title="Photos per execution in Triton", title_justify="left")
    table.add_column("model")
    table.add_column("through the gateway", justify="right")
    table.add_column("through Triton", justify="right")
    gateway, triton = (facts[target]["mean_batch"] for target in ("gateway", "triton"))
    for model in sorted(gateway):
        table.add_row(model, f"{gateway[model]:.2f}", f"{triton.get(model, 0.0):.2f}")
    return table
