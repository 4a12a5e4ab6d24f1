"""The peers' own virtual environments below ``build/peers``, from pinned requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.stack import ROOT

HOME: Final = ROOT / "build" / "peers"
"""Git-ignored."""

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
PROGRAMS: Final = {"torchserve": ("java",)}
"""What an environment needs that pip cannot give."""

NAMES: Final = tuple(sorted(file.stem for file in REQUIREMENTS.glob("*.txt")))
_LAST_WORDS: Final = 5


class SetupError(RuntimeError):
    """An environment cannot be made, or is not there; the message says what to do."""


def executable(name: str, program: str) -> str:
    """Path of ``program`` in the environment ``name``. Raises SetupError."""
    path = HOME / name / "bin" / program
    if not ready(name) or not path.exists():
        raise SetupError(f"The environment of {name} is not there: run `python -m benchmarks.peers setup` first.")
    return str(path)


def ready(name: str) -> bool:
    """Whether the environment is there, as its requirements say."""
    stamp = _stamp(name)
    return stamp.is_file() and stamp.read_text() == _digest(name)


def make(name: str) -> None:
    """Make one environment anew, unless it is as its requirements say. Raises SetupError."""
    if name not in NAMES:
        raise SetupError(f"There is no peer {name}: give one of {', '.join(NAMES)}.")
    missing = [program for program in PROGRAMS.get(name, ()) if shutil.which(program) is None]
    if missing:
        raise SetupError(f"{name} needs {', '.join(missing)}: install it (Debian: default-jre-headless) and try again.")
    if ready(name):
        return
    folder = HOME / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", str(_file(name))])
    _stamp(name).write_text(_digest(name))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Peer -> what its requirements pin for it, e.g. ``litserve 0.2.19``."""
    pinned = {}
    for name in names:
        first = next(line for line in _file(name).read_text().splitlines() if line and not line.startswith("#"))
        pinned[name] = first.split(";")[0].strip().replace("==", " ")
    return pinned


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " | ".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_WORDS:])
        raise SetupError(f"`{' '.join(command)}` failed: {words}")


def _file(name: str) -> Path:
    return REQUIREMENTS / f"{name}.txt"


def _stamp(name: str) -> Path:
    return HOME / name / "requirements.sha256"


def _digest(name: str) -> str:
    return hashlib.sha256(_file(name).read_bytes()).hexdigest()
