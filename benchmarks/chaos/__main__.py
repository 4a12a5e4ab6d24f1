"""``python -m benchmarks.chaos``: break one thing after another under mixed load, at ack level ``durable``.

Two gateways, one of them with two workers, each with a journal; one Triton, one store. After each fault the run waits
until both gateways answer again and the store has everything that was acknowledged. In the end every acknowledged
record has to be in the store, once, about the photo that was sent; every failure has to be typed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks import photos as photo_sets
from benchmarks.chaos.faults import FAULTS, Fault
from benchmarks.chaos.ledger import Ledger, kept
from benchmarks.chaos.load import Load
from benchmarks.chaos.report import Struck, print_report, struck_of
from benchmarks.chaos.stores import CosmosStandIn, EmbeddedStores
from benchmarks.chaos.world import World, world
from benchmarks.figures import machine_facts
from benchmarks.stack import ROOT, StackError, workshop

HEALED_LIMIT_S = 90.0


def run(options: argparse.Namespace, console: Console) -> tuple[list[Struck], Ledger, list[tuple[str, str]]]:
    """All faults in a seeded order, each kind as often as the others. Raises StackError."""
    chance = random.Random(options.seed)
    ledger = Ledger()
    struck: list[tuple[Fault, float, float, float]] = []
    with workshop("chaos") as folder:
        store = EmbeddedStores(folder) if options.store == "sqlite" else CosmosStandIn()
        faults = [fault for fault in FAULTS if options.store == "cosmos" or not fault.name.startswith("store:")]
        with world(folder, store, options.repository, options.workers) as made:
            addresses = [gateway.address for gateway in made.gateways]
            photos = photo_sets.load(None).photos
            load = Load(addresses, photos, ledger, callers=options.callers, pause_s=options.pause, seed=options.seed)
            with load:
                ends = time.monotonic() + 60 * options.minutes
                deck: list[Fault] = []
                time.sleep(2)
                while time.monotonic() < ends or len(struck) < options.faults:
                    deck = deck or chance.sample(faults, len(faults))
                    fault = deck.pop()
                    struck.append(strike(made, fault, chance, ledger))
                    console.print(
                        f"{len(struck):4} {fault.name}: whole again after {struck[-1][3]:.1f} s", highlight=False
                    )
                    time.sleep(options.rest)
        stored = store.records()
    calls = ledger.calls()
    moments = [began for _, began, _, _ in struck] + [float("inf")]
    return [struck_of(calls, *one, until) for one, until in zip(struck, moments[1:], strict=True)], ledger, stored


def strike(made: World, fault: Fault, chance: random.Random, ledger: Ledger) -> tuple[Fault, float, float, float]:
    """Inject, hold, lift, and wait until all is well. Returns fault, injected, lifted, and seconds from lifting until
    everything acknowledged by then was stored and every gateway answered. Raises StackError."""
    injected = time.monotonic()
    fault.inject(made, chance)
    time.sleep(fault.hold_s)
    fault.lift(made)
    lifted = time.monotonic()
    due = {call.record_id for call in ledger.acknowledged()}
    while time.monotonic() < lifted + HEALED_LIMIT_S:
        answered = {call.gateway for call in ledger.acknowledged() if call.began > lifted}
        if len(answered) == len(made.gateways) and due <= {record_id for record_id, _ in made.store.records()}:
            return fault, injected, lifted, time.monotonic() - lifted
        time.sleep(0.1)
    raise StackError(f"After `{fault.name}` not everything was well again within {HEALED_LIMIT_S:.0f} s.")


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 kept, 1 a promise was broken or something failed."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    machine = machine_facts()
    try:
        struck, ledger, stored = run(options, console)
    except StackError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    verdict = kept(ledger.calls(), stored)
    typed = print_report(console, machine, struck, ledger.calls(), verdict)
    if options.json is not None:
        facts = {"machine": machine, "faults": [one.as_json() for one in struck], "verdict": verdict.as_json()}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if verdict.whole and typed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="at least so long (default 30)")
    parser.add_argument("--faults", type=int, default=100, help="at least so many faults (default 100)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2], help="a gateway for each number, with so many workers; one "
        "has to be 1 (default 1 2)",
    )  # fmt: skip
    parser.add_argument(
        "--callers", type=int, default=6, help="callers, by REST, gRPC and KServe v2 in turn (default 6)"
    )
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between a caller's calls (default 0.15)")
    parser.add_argument("--rest", type=float, default=2.0, help="seconds between faults (default 2)")
    parser.add_argument(
        "--store", choices=("cosmos", "sqlite"), default="cosmos", help="sqlite leaves out the store's faults"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", help="release to serve")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
