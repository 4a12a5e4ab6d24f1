"""``python -m benchmarks.peers``: Bestiary beside FastAPI, LitServe, BentoML, MLServer, Ray Serve and TorchServe.

The same photos as JPEG bytes, five names back, the same float32 network; for each system the highest Poisson rate whose
p99, from the planned time of sending, is within 250 ms, with no error. All systems take turns in every round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.figures import machine_facts
from benchmarks.peers import environments, photos, report
from benchmarks.peers.environments import SetupError
from benchmarks.peers.measure import BOUNDS, SYSTEMS, Cell, Plan, run
from benchmarks.peers.running import variants_of
from benchmarks.photos import NoPhotos
from benchmarks.stack import ROOT, WORKSHOP

OUT: Final = WORKSHOP / "peers"
RESULTS: Final = "peers.json"
TUNE: Final = "tune"
"""Folder below ``--out`` in which ``run`` looks for what ``tune`` found."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 something failed or could not be measured (one sentence on stderr)."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    commands = {"setup": _setup, "run": _run, "tune": _tune, "report": _report}
    try:
        return commands[options.command](options, console)
    except (NoPhotos, SetupError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1


def _setup(options: argparse.Namespace, console: Console) -> int:
    failed = 0
    for name in options.only or environments.NAMES:
        try:
            with console.status(f"{name}: installing ..."):
                environments.make(name)
            console.print(f"{name}: ready")
        except SetupError as error:
            failed += 1
            print(f"peers: {error}", file=sys.stderr)
    return 1 if failed else 0


def _run(options: argparse.Namespace, console: Console) -> int:
    tuned = options.tuned or options.out / TUNE / RESULTS
    if options.tuned is not None and not tuned.is_file():
        raise SetupError(f"There is no {tuned}: run `python -m benchmarks.peers tune` first, or leave --tuned out.")
    found = report.chosen(json.loads(tuned.read_text())["cells"]) if tuned.is_file() else {}
    settings = {**found, **options.variant}
    chosen = {name: settings.get(name, _first_variant(name)) for name in options.systems}
    return _measure(options, console, [chosen], options.out)


def _tune(options: argparse.Namespace, console: Console) -> int:
    """Every setting of every system, a round each: all first settings, then all second ones, and so on."""
    names = [name for name in options.systems if name not in BOUNDS]
    most = max((len(variants_of(name)) for name in names), default=0)
    passes = [
        {name: list(variants_of(name))[at] for name in names if at < len(variants_of(name))} for at in range(most)
    ]
    return _measure(options, console, passes, options.out / TUNE)


def _measure(options: argparse.Namespace, console: Console, passes: list[dict[str, str]], out: Path) -> int:
    sets = {name: photos.load(name, options.data) for name in options.photos}
    cores = len(os.sched_getaffinity(0))
    cells: list[dict[str, Any]] = []
    facts: dict[str, Any] = {
        "machine": machine_facts(),
        "cores": cores,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "photos": {name: {"name": it.name, "mean_bytes": round(it.mean_bytes)} for name, it in sets.items()},
        "versions": environments.versions(environments.NAMES),
        "variants": passes[0],
        "cells": cells,
    }
    out.mkdir(parents=True, exist_ok=True)

    def tell(cell: Cell) -> None:
        cells.append(cell.as_json())
        (out / RESULTS).write_text(json.dumps(facts, indent=1) + "\n")
        console.print(_line(cell))

    for chosen in passes:
        run(Plan(chosen, sets, options.rounds, options.seconds, cores), tell)
    if len(passes) == 1:
        _write_report(facts, out, console)
    return 1 if any(cell["error"] for cell in cells) else 0


def _line(cell: Cell) -> str:
    name = f"round {cell.round} {cell.photos:6} {SYSTEMS[cell.system]}" + (f" ({cell.variant})" if cell.variant else "")
    if cell.error:
        return f"{name}: {cell.error}"
    if cell.rate is None:
        return f"{name}: no rate passed in {len(cell.steps)} steps"
    costs = "" if cell.cpu_ms is None else f", {cell.cpu_ms:.1f} ms CPU"
    costs += "" if cell.instructions is None else f", {cell.instructions / 1e6:.0f} M instructions"
    steps = f" in {len(cell.steps)} steps" if cell.steps else ""
    return f"{name}: {cell.rate:.1f}/s{costs}{steps}"


def _report(options: argparse.Namespace, console: Console) -> int:
    file = options.out / RESULTS
    if not file.is_file():
        raise SetupError(f"There is no {file}: run `python -m benchmarks.peers run` first, or give --out.")
    _write_report(json.loads(file.read_text()), options.out, console)
    return 0


def _write_report(facts: dict[str, Any], out: Path, console: Console) -> None:
    text = report.markdown(facts)
    (out / "peers.md").write_text(text)
    report.plot(out / "peers.png", facts)
    console.print(text, markup=False)
    console.print(f"Written: {RESULTS}, peers.md and peers.png in {out}", markup=False)


def _first_variant(system: str) -> str:
    return "" if system in BOUNDS else next(iter(variants_of(system)))


def _variant(text: str) -> tuple[str, str]:
    system, _, variant = text.partition("=")
    if system not in SYSTEMS or system in BOUNDS or variant not in variants_of(system):
        raise argparse.ArgumentTypeError(f"give SYSTEM=SETTING as README.md lists them, not {text!r}")
    return system, variant


class _Variants(argparse.Action):
    def __call__(self, _parser: Any, namespace: argparse.Namespace, value: Any, _option: str | None = None) -> None:
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), value[0]: value[1]})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        epilog="Example: python -m benchmarks.peers setup && python -m benchmarks.peers run --rounds 3",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    setup = commands.add_parser("setup", help="install the peers below build/peers")
    setup.add_argument("--only", nargs="+", choices=environments.NAMES, metavar="PEER")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default {OUT.relative_to(ROOT)}")
    for name, words in (("run", "measure all in turn"), ("tune", "compare the settings of each system, one round")):
        measured = commands.add_parser(name, parents=[shared], help=words)
        measured.add_argument("--rounds", type=int, default=3 if name == "run" else 1, help="default %(default)s")
        measured.add_argument("--seconds", type=float, default=6.0, help="of a step, at least (default 6)")
        systems = list(SYSTEMS) if name == "run" else [system for system in SYSTEMS if system not in BOUNDS]
        measured.add_argument("--systems", nargs="+", choices=SYSTEMS, default=systems, metavar="SYSTEM")
        sets = photos.SETS if name == "run" else (photos.SMALL,)
        measured.add_argument("--photos", nargs="+", choices=photos.SETS, default=list(sets), metavar="SET")
        measured.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of test data")
        if name == "run":
            measured.add_argument("--tuned", type=Path, metavar="FILE", help=f"default DIR/{TUNE}/{RESULTS}, if there")
            measured.add_argument(
                "--variant",
                type=_variant,
                action=_Variants,
                default={},
                metavar="SYSTEM=SETTING",
                help="another setting",
            )
    commands.add_parser("report", parents=[shared], help="write table and plot again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
