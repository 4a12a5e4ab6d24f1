"""From the paths on a command line to the photos behind them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""What is taken out of a folder. A file named on the command line is sent whatever its name is."""

STDIN: Final = "-"


class NoPhotos(ValueError):
    """The paths lead to no photo; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One photo that is yet to be read: its path as it is told, and the name that the record keeps."""

    path: str
    filename: str
    folder: str | None = None
    """The folder on the command line that it was found in."""
    data: bytes | None = None
    """Set where the bytes are already here: standard input."""

    @property
    def below(self) -> str:
        """Its path below ``folder``, slashes forward; bytes that are not UTF-8 as surrogates."""
        return Path(self.path).relative_to(self.folder).as_posix() if self.folder is not None else ""

    def read(self) -> bytes:
        """The encoded photo. Raises OSError."""
        return Path(self.path).read_bytes() if self.data is None else self.data


def find(paths: Sequence[str]) -> list[Source]:
    """All photos under ``paths``, in that order, folders sorted. Raises NoPhotos.

    Photos in a folder keep their path below it as their name, so that cards whose cameras count
    alike can be told apart. Hidden files and folders are skipped, links to folders are not followed.
    """
    if list(paths).count(STDIN) > 1:
        raise NoPhotos("Standard input holds one photo: give - once.")
    return [source for path in paths for source in _find(path)]


def _find(path: str) -> list[Source]:
    if path == STDIN:
        return [_from_stdin()]
    try:
        folder = stat.S_ISDIR(Path(path).stat().st_mode)
    except OSError as error:
        raise NoPhotos(f"{path}: {error.strerror}.") from error
    if not folder:
        return [Source(path, printable_name(Path(path).name))]
    found = [
        Source(str(Path(path) / below), printable_name(below.as_posix()), path) for below in sorted(_walk(Path(path)))
    ]
    if not found:
        kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise NoPhotos(f"There is no photo in {path}: looked for {kinds}.")
    return found


def _from_stdin() -> Source:
    if sys.stdin.isatty():
        raise NoPhotos("Nothing is piped in: - reads one photo from standard input.")
    return Source(STDIN, "", data=sys.stdin.buffer.read())


def _walk(top: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(top, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield (Path(folder) / name).relative_to(top)


def _unreadable(error: OSError) -> None:
    raise NoPhotos(f"The folder {error.filename} cannot be read: {error.strerror}.")


def printable_name(name: str) -> str:
    """A path as text that every service takes: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")
