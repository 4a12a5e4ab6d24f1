"""The ledger of a folder: what became of each of its photos, so that the next run does only what is left.

One JSON object a line. ``{"run": {"at", "url", "asked"}}`` begins a run; the lines after it are its photos:
``{"path", "size", "mtime_ns", "sha256", "id"}``, or ``{..., "failure": {"code", "detail", "retryable"}}``. Each line
is one append, so what was killed leaves at most one torn line at the end, which is skipped and closed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

FOLDER: Final = ".bestiary"
NAME: Final = "ledger.jsonl"


class LedgerInUse(Exception):
    """Another run writes this ledger."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one photo has no answer, in the service's words where it spoke."""

    code: str
    detail: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one photo. ``path`` is below its folder; size in bytes; either ``id`` or ``failure`` is set."""

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""
    id: UUID | None = None
    failure: Failure | None = None

    @property
    def settled(self) -> bool:
        """Whether sending the same bytes again would change nothing."""
        return self.failure is None or not self.failure.retryable

    def line(self) -> dict[str, Any]:
        """As it stands in the file."""
        line: dict[str, Any] = {"path": self.path, "size": self.size, "mtime_ns": self.mtime_ns}
        if self.id is not None:
            return line | {"sha256": self.sha256, "id": str(self.id)}
        return line | {"failure": asdict(self.failure) if self.failure else None}


def place(path: Path) -> Path:
    """The ledger of a folder; a file is taken for a ledger itself."""
    return path / FOLDER / NAME if path.is_dir() else path


class Ledger:
    """One folder's ledger, open for a run. Use as a context manager."""

    def __init__(self, fd: int, entries: dict[str, Entry]) -> None:
        self._fd = fd
        self._entries = entries

    @classmethod
    def open(cls, path: Path, url: str, asked: Mapping[str, str]) -> Ledger:
        """Open or make a ledger and begin a run. Earlier runs count if they asked the same of the same service.

        Raises LedgerInUse, OSError if it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            run = {"url": url, "asked": dict(asked)}
            ledger = cls(fd, {entry.path: entry for entry in _entries(path, run)})
            ledger._end_torn_line()
            ledger._append({"run": {"at": datetime.now(UTC).isoformat(timespec="seconds"), **run}})
        except BlockingIOError:
            os.close(fd)
            raise LedgerInUse(str(path)) from None
        except BaseException:
            os.close(fd)
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def find(self, path: str) -> Entry | None:
        """What earlier runs, or this one, wrote last of a photo."""
        return self._entries.get(path)

    def add(self, entry: Entry) -> None:
        """Append; there for every later run, whatever kills this one. Raises OSError."""
        self._entries[entry.path] = entry
        self._append(entry.line())

    def close(self) -> None:
        """Make durable, unlock."""
        os.fsync(self._fd)
        os.close(self._fd)

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"  # escapes what is not ASCII, names that are not UTF-8 too
        if os.write(self._fd, data) < len(data):
            raise OSError(28, "No space left on device")

    def _end_torn_line(self) -> None:
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")


def read(path: Path) -> list[Entry]:
    """The last entry of each photo, whichever run wrote it, in the order of their first. Raises OSError."""
    return list({entry.path: entry for entry in _entries(path)}.values())


def _entries(path: Path, run: Mapping[str, Any] | None = None) -> Iterator[Entry]:
    """Entries, only of runs like ``run`` if it is given. Lines that are not whole are skipped."""
    wanted = run is None
    with path.open(encoding="utf-8", errors="replace") as lines:
        for text in lines:
            try:
                line = json.loads(text)
                if "run" in line:
                    wanted = run is None or all(line["run"].get(name) == value for name, value in run.items())
                elif wanted:
                    yield _entry(line)
            except (ValueError, LookupError, TypeError, AttributeError):
                continue


def _entry(line: Mapping[str, Any]) -> Entry:
    failure = Failure(**line["failure"]) if line.get("failure") else None
    found = UUID(line["id"]) if failure is None else None
    return Entry(line["path"], line["size"], line["mtime_ns"], line.get("sha256", ""), found, failure)
