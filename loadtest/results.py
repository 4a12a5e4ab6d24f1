"""A finished run on disk: ``run.json``, the samples, ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtest.run import Run
from loadtest.samples import Samples, load, save
from loadtest.summary import machine, summarise, surprises
from loadtest.verdict import Verdict

RUN_FILE: Final = "run.json"
REPORT_FILE: Final = "report.html"
FORMAT: Final = 1


class NoResult(ValueError):
    """A folder holds no run; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of a run. ``told``: figures and verdict as in ``run.json``; times of ``samples`` in seconds."""

    name: str
    told: Mapping[str, Any]
    samples: Samples


def result_of(run: Run, verdict: Verdict, *, photos: Mapping[str, Any], server: Mapping[str, Any]) -> Result:
    """Everything worth keeping."""
    plan, samples = run.plan.public(), run.samples
    told = {
        "format": FORMAT,
        "plan": plan,
        "photos": photos,
        "machine": machine(),
        "summary": summarise(run),
        "verdict": verdict.told(),
        "notes": surprises(samples.judged),
        "server": server,
        "closed_loop": None,
    }
    schedule = plan["schedule"]
    name = f"{'+'.join(plan['users'])}, {schedule['arrivals']} {schedule['rate']:g}/s, {schedule['seconds']:g} s"
    return Result(name, told, samples)


def keep(result: Result, folder: Path) -> None:
    """Write ``run.json`` and the samples. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    save(result.samples, folder)
    text = json.dumps({"name": result.name, **result.told}, indent=2, allow_nan=False)
    (folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Result:
    """A run that was kept. Raises NoResult."""
    try:
        told = json.loads((folder / RUN_FILE).read_text("utf-8"))
        if told["format"] != FORMAT:
            raise NoResult(f"{folder} is of format {told['format']}, and this version reads {FORMAT}.")
        return Result(f"{folder.name}: {told['name']}", told, load(folder))
    except NoResult:
        raise
    except ModuleNotFoundError as error:
        raise NoResult(f"{folder} has its samples as Parquet: pip install 'bestiary[parquet]'.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoResult(f"{folder} holds no load test: give a folder that bestiary loadtest --out wrote.") from error
