"""Durable file operations on POSIX. All of them block and raise OSError: call them in a worker thread."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(fd: int, data: bytes, offset: int | None = None) -> None:
    """Write every byte of ``data`` at ``offset``, or where the file position is if that is None.

    The kernel may write less than it was asked to, for instance just before the disk is full.
    """
    view = memoryview(data)
    while view:
        written = os.write(fd, view) if offset is None else os.pwrite(fd, view, offset)
        view = view[written:]
        offset = None if offset is None else offset + written


def fsync_directory(directory: Path | str) -> None:
    """Make the names in a directory durable: a new file's own fsync does not cover its name (fsync(2))."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """Create a directory and its missing parents, each name made durable in its parent."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    fsync_directory(directory.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that after a power cut either the old or the new content is there, whole."""
    temporary = path.with_name(path.name + ".tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    fsync_directory(path.parent)
