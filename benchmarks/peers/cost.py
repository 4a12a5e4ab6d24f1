"""What a system costs: CPU time and instructions of all its processes, whoever started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.cpu import TICKS_PER_S

MARK: Final = "BESTIARY_PEERS_RUN"
"""Environment variable whose value the processes of one system share. They inherit it even where they leave their
parent and their process group."""

_EVENT: Final = "instructions"
_STOP_S: Final = 5.0


def mark(value: str) -> dict[str, str]:
    """What to add to the environment of a system's first process."""
    return {MARK: value}


def processes(value: str) -> set[int]:
    """Ids of the living processes with the mark, and of all their descendants (some overwrite their environment)."""
    marked, children = set(), dict[int, list[int]]()
    wanted = f"{MARK}={value}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                marked.add(int(folder.name))
            children.setdefault(int(_fields(folder)[1]), []).append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is not ours
    found, open_ends = set[int](), list(marked)
    while open_ends:
        pid = open_ends.pop()
        if pid not in found:
            found.add(pid)
            open_ends += children.get(pid, [])
    return found


def _fields(folder: Path) -> list[str]:
    """Of ``/proc/PID/stat``, from field 3 (state) on: field 2, the name, may hold anything."""
    stat = (folder / "stat").read_text()
    return stat[stat.rindex(")") + 2 :].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time (seconds) so far, of the processes and of their children that have ended (proc(5), fields
    14 to 17)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _fields(Path(f"/proc/{pid}"))[11:15]))
    return ticks / TICKS_PER_S


def end(value: str) -> None:
    """Kill what is left of a system."""
    for pid in processes(value) - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Instructions:
    """A count of instructions, user and kernel, of processes and their later threads, where the machine can count."""

    def __init__(self) -> None:
        self.available = _counted(["true"]) is not None

    @contextlib.contextmanager
    def counting(self, pids: Iterable[int]) -> Iterator[list[float]]:
        """Gives a list that holds the count after the block; it stays empty where nothing can be counted."""
        count: list[float] = []
        if not self.available:
            yield count
            return
        with tempfile.NamedTemporaryFile("r") as report:
            command = ["perf", "stat", "-x", ",", "-e", _EVENT, "-o", report.name, "-p", ",".join(map(str, pids))]
            counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                yield count
            finally:
                counter.send_signal(signal.SIGINT)
                counter.wait(_STOP_S)
            number = parse(report.read())
            if number is not None:
                count.append(number)


def parse(report: str) -> float | None:
    """The count in what ``perf stat -x ,`` wrote; None where it could not count."""
    for line in report.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith(_EVENT):
            return float(fields[0]) if fields[0].replace(".", "").isdigit() else None
    return None


def _counted(command: list[str]) -> float | None:
    if shutil.which("perf") is None:
        return None
    done = subprocess.run(
        ["perf", "stat", "-x", ",", "-e", _EVENT, *command], capture_output=True, text=True, check=False
    )
    return parse(done.stderr)
