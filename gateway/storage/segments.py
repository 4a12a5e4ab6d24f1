"""The journal's directory: its lock, its segment files and its checkpoint.

    lock                 held by the one process that has the journal open
    checkpoint           {"segment": n, "offset": end of the last record known to be stored}
    00000001.journal     see gateway.storage.frames
    00000001.journal.corrupt   a damaged segment, kept for a person to look at; never removed by the journal

Everything here blocks and raises OSError: the journal calls it in its one writer thread.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import StorageUnavailable
from gateway.storage import frames
from gateway.storage.files import fsync_directory, replace_file, write_all

SUFFIX: Final = ".journal"
_CHECKPOINT: Final = "checkpoint"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The end of a frame: bytes from the beginning of a segment."""

    segment: int
    offset: int


START: Final = Position(0, 0)


def segment_path(directory: Path, number: int) -> Path:
    """The file of one segment."""
    return directory / f"{number:08d}{SUFFIX}"


def segment_numbers(directory: Path) -> list[int]:
    """The segments that exist, oldest first."""
    return sorted(int(path.stem) for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def lock(directory: Path) -> int:
    """Take the directory for this process; returns the descriptor to close when done.

    Raises StorageUnavailable if another process (or another journal in this one) has it.
    """
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise StorageUnavailable(
            f"The journal directory {directory} is in use by process {holder or '(unknown)'}. "
            "Stop that process, or give this one a journal directory of its own."
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def load_checkpoint(directory: Path) -> Position:
    """The last checkpoint; the start if there is none or it cannot be read, as replaying is harmless."""
    try:
        content = json.loads((directory / _CHECKPOINT).read_bytes())
        return Position(int(content["segment"]), int(content["offset"]))
    except FileNotFoundError:
        return START
    except (ValueError, TypeError, KeyError):
        _log.warning("the journal's checkpoint in %s is unreadable; replaying all of its segments", directory)
        return START


def save_checkpoint(directory: Path, position: Position) -> None:
    """Write the checkpoint atomically and durably."""
    content = {"segment": position.segment, "offset": position.offset}
    replace_file(directory / _CHECKPOINT, json.dumps(content).encode())


class SegmentWriter:
    """Appends to the newest segment, begins new ones and removes drained ones. One thread at a time."""

    def __init__(self, directory: Path, *, existing: list[int], next_number: int, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._next_number = next_number
        self._numbers = list(existing)
        self._number = 0
        self._fd: int | None = None
        self._offset = 0

    def append(self, data: bytes) -> Position:
        """Write whole frames and fsync; returns where they begin. Raises OSError; nothing of ``data`` then counts."""
        if self._fd is None or self._offset >= self._segment_bytes:
            self._fd = self._begin_segment()
        begin = Position(self._number, self._offset)
        try:
            write_all(self._fd, data, self._offset)
        except OSError:
            self._take_back()
            raise
        try:
            os.fdatasync(self._fd)
        except OSError:
            # After a failed fsync the kernel may call pages clean that never reached the disk, so a second
            # fsync of this file proves nothing (see fsyncgate, LWN 752063). Go on in a new file.
            self._take_back()
            self._leave_segment()
            raise
        self._offset += len(data)
        return begin

    def drop_before(self, number: int) -> None:
        """Remove the segments below ``number``; the one that is being written stays."""
        drained = [n for n in self._numbers if n < number and not (n == self._number and self._fd is not None)]
        for n in drained:
            segment_path(self._directory, n).unlink(missing_ok=True)
            self._numbers.remove(n)
        if drained:
            fsync_directory(self._directory)

    def close(self) -> None:
        """Close the segment; all that was appended is already durable."""
        self._leave_segment()

    def _begin_segment(self) -> int:
        self._leave_segment()
        number = self._next_number
        self._next_number += 1
        path = segment_path(self._directory, number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(fd, frames.HEADER, 0)
            fsync_directory(self._directory)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._numbers.append(number)
        self._number, self._offset = number, len(frames.HEADER)
        return fd

    def _take_back(self) -> None:
        """Cut the segment back to its last good frame, so that what comes next stands right behind it."""
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, self._offset)
        except OSError:
            _log.warning("journal segment %d could not be cut back; going on in a new one", self._number, exc_info=True)
            self._leave_segment()

    def _leave_segment(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)
