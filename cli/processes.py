"""Processor time of a service's processes and their threads, from /proc (proc(5))."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PROC: Final = Path("/proc")
_TICK_MS: Final = 1e3 / os.sysconf("SC_CLK_TCK")
_LISTEN: Final = "0A"
"""State of a listening socket in /proc/net/tcp."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time, user and kernel, of all threads of one name in one process."""

    process: str
    pid: int
    thread: str
    cpu_ms: float

    def since(self, before: Mapping[tuple[int, str], Spent], photos: int) -> Spent:
        """What came on top of it since then, by photo."""
        then = before.get((self.pid, self.thread))
        spent_ms = self.cpu_ms - (then.cpu_ms if then is not None else 0.0)
        return Spent(self.process, self.pid, self.thread, spent_ms / photos)


def listener_of(url: str) -> int | None:
    """Process id of who listens at ``url`` on this machine; None if nobody does, or it is another user's."""
    parts = urlsplit(url)
    try:
        addresses = {item[4][0] for item in socket.getaddrinfo(parts.hostname, None)}
    except OSError:
        return None
    if not any(str(address).startswith("127.") or address == "::1" for address in addresses):
        return None
    sockets = set(_listening(parts.port or (443 if parts.scheme == "https" else 80)))
    holders = (pid for pid in _processes() if sockets & set(_sockets(pid)))
    return min(holders, default=None)


def group_of(pid: int) -> dict[int, str]:
    """The processes of a service by the id of its gateway: all that its parent started, or its parent's if that is the
    supervisor of workers; with this process as ``profile``. Process id -> what it is."""
    parents = {other: _parent(other) for other in _processes()}
    top = pid
    while (above := parents.get(top, 0)) > 1 and _name(above) in ("gateway", "bestiary up"):
        top = above
    members = {top}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    return {member: _name(member) for member in members if member != os.getpid()} | {os.getpid(): "profile"}


def spent_by(group: Mapping[int, str]) -> dict[tuple[int, str], Spent]:
    """Since each process began, by process id and name of thread. Processes that are gone are left out."""
    spent: dict[tuple[int, str], float] = defaultdict(float)
    for pid in group:
        with contextlib.suppress(OSError):
            for task in (PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError, IndexError):
                    name, fields = _stat(task)
                    spent[pid, name] += (int(fields[11]) + int(fields[12])) * _TICK_MS  # utime, stime
    return {(pid, thread): Spent(group[pid], pid, thread, ms) for (pid, thread), ms in spent.items()}


def _stat(folder: Path) -> tuple[str, list[str]]:
    """The parenthesised name and the fields behind it, the first of which is the state."""
    text = (folder / "stat").read_text()
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], tail.split()


def _parent(pid: int) -> int:
    try:
        return int(_stat(PROC / str(pid))[1][1])
    except (OSError, IndexError):
        return 0


def _name(pid: int) -> str:
    """What a process of ours is, by its command line; else its program's name."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    if "gateway" in words:
        return "gateway"
    if "up" in words and any(word.endswith(("bestiary", "cli", "cli/__main__.py")) for word in words):
        return "bestiary up"
    program = Path(words[0]).name
    if "stub" in program:
        model = next((Path(word).parent.parent.name for word in words if word.endswith("model.py")), "")
        return f"triton model {model}".strip()
    return program


def _processes() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())


def _listening(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on ``port``."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _sockets(pid: int) -> Iterator[str]:
    """Inodes of the sockets that a process holds."""
    with contextlib.suppress(OSError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:["):
                    yield target[8:-1]
