"""CPU time of every process of a running stack, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
"""proc(5) counts CPU time in these; 100 on Linux, so a reading is good to 10 ms a process."""

STUB: Final = "triton_python_backend_stub"
GATEWAY: Final = "gateway"
STUB_ROLE: Final = "stub "
"""Roles of models' processes begin with it."""


@dataclass(frozen=True, slots=True)
class Process:
    """One living process: its id and what it is in the stack, e.g. ``gateway`` or ``stub classifier``."""

    pid: int
    role: str


class ProcessesChanged(RuntimeError):
    """A process ended or was started between two readings, so that their difference means nothing."""


def cpu_seconds(stat: str) -> float:
    """User and system time of all threads, from the content of ``/proc/PID/stat`` (fields 14 and 15)."""
    fields = stat[stat.rindex(")") + 2 :].split()  # the name, field 2, may itself hold spaces and brackets
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def read_cpu(pid: int) -> float:
    """CPU seconds that a living process has used. Raises ProcessesChanged if it is gone."""
    try:
        return cpu_seconds(Path(f"/proc/{pid}/stat").read_text())
    except FileNotFoundError:
        raise ProcessesChanged(f"process {pid} has ended: see the stack's logs") from None


def role_of(arguments: list[str]) -> str:
    """What a process of the stack is, from its command line."""
    program = Path(arguments[0]).name if arguments else ""
    if program == STUB:
        # ... PARENT_PID BACKEND_DIR IPC_HANDLE_SIZE INSTANCE RUNTIME, where INSTANCE is MODEL_GROUP_NUMBER
        return f"{STUB_ROLE}{arguments[-2].rsplit('_', 2)[0]}"
    if program == "tritonserver":
        return program
    if arguments[1:3] == ["-m", "gateway"]:
        return GATEWAY
    if arguments[1:4] == ["-m", "cli", "up"]:
        return "supervisor (bestiary up)"
    return program or "ended"


def family(pid: int) -> list[Process]:
    """The process ``pid`` and all its living descendants with their roles."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        threads = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for thread in threads for child in thread.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended while we looked
    arguments = command.decode(errors="replace").rstrip("\0").split("\0")
    return [Process(pid, role_of(arguments)), *(found for child in children for found in family(child))]


def snapshot(pid: int) -> dict[Process, float]:
    """CPU seconds so far of every process below and with ``pid``."""
    return {process: read_cpu(process.pid) for process in family(pid)}


def used(before: Mapping[Process, float], after: Mapping[Process, float]) -> dict[str, float]:
    """CPU seconds between two snapshots, summed by role. Raises ProcessesChanged."""
    if before.keys() != after.keys():
        names = ", ".join(sorted(f"{process.role} ({process.pid})" for process in before.keys() ^ after.keys()))
        raise ProcessesChanged(f"these processes were not there all the time: {names}; see the stack's logs")
    return added(*({process.role: seconds - before[process]} for process, seconds in after.items()))


def added(*spent: Mapping[str, float]) -> dict[str, float]:
    """Seconds by role, summed over several accounts."""
    total: dict[str, float] = {}
    for account in spent:
        for role, seconds in account.items():
            total[role] = total.get(role, 0.0) + seconds
    return total


def ms_per_photo(seconds: Mapping[str, float], photos: int) -> dict[str, float]:
    """CPU milliseconds per photo by role. Raises ValueError if there was no photo."""
    if photos < 1:
        raise ValueError("no photo was answered, so there is no cost per photo")
    return {role: 1e3 * spent / photos for role, spent in seconds.items()}
