"""The embedded blob store: photos as files below one directory, named by their content."""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.storage.files import fsync_directory, make_directory, write_all

THREADS: Final = 4
"""Puts mostly wait for fsync; a few at a time let the file system join them."""
_UNFINISHED: Final = ".unfinished"
"""Where puts write before they rename. One folder, so that opening need not search millions of photos for leftovers."""

_T = TypeVar("_T")


_Call = Callable[[Callable[[], None]], Coroutine[None, None, None]]


class StagedFile:
    """A written file waiting for its name (the StagedBlob port); ``fd`` None where the blob is there already."""

    def __init__(self, call: _Call, path: Path, fd: int | None, temporary: Path | None) -> None:
        self._call, self._path, self._fd, self._temporary = call, path, fd, temporary

    async def commit(self) -> None:
        """Give the bytes their name and fsync it. Raises StorageUnavailable."""
        await self._call(self._commit)

    async def discard(self) -> None:
        """Remove the bytes. Raises StorageUnavailable."""
        if self._fd is not None and self._temporary is not None:
            fd, temporary = self._fd, self._temporary
            await self._call(lambda: _drop(fd, temporary))

    def _commit(self) -> None:
        if self._fd is not None and self._temporary is not None:
            try:
                self._temporary.replace(self._path)
            except OSError:
                self._temporary.unlink(missing_ok=True)
                raise
            finally:
                os.close(self._fd)
        # Also where the blob was there: its bytes were durable before it got its name, but whoever is putting
        # it now may not have made the name durable yet.
        fsync_directory(self._path.parent)


def _drop(fd: int, temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    finally:
        os.close(fd)


class DirectoryBlobStore:
    """The BlobStore port on a directory, which several processes may share."""

    def __init__(self, root: Path) -> None:
        """Make the directory if it is missing and remove what killed puts left. Blocks; raises StorageUnavailable."""
        self._root = root
        self._unfinished = root / _UNFINISHED
        self._durable_directories: set[Path] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._closed = False
        try:
            make_directory(self._unfinished)
            for leftover in self._unfinished.glob("*.tmp"):
                _remove_if_abandoned(leftover)
        except OSError as error:
            raise StorageUnavailable(f"The photo directory {root} cannot be used: {error}.") from error

    async def stage(self, name: str, data: bytes) -> StagedFile:
        """Write and fsync the bytes under no name yet; nothing is written if a blob of this name and size exists.

        Raises InvalidRequest if the name is not a plain relative path, StorageUnavailable.
        """
        path = self._path(name)
        fd, temporary = await self._call(lambda: self._stage(path, data))
        return StagedFile(self._call, path, fd, temporary)

    async def put(self, name: str, data: bytes) -> None:
        """Stage and commit. Raises as :meth:`stage`."""
        await (await self.stage(name, data)).commit()

    async def get(self, name: str) -> bytes:
        """The bytes. Raises RecordNotFound, InvalidRequest, StorageUnavailable."""
        path = self._path(name)
        return await self._call(lambda: _read(path))

    async def close(self) -> None:
        """Finish what was begun; further calls raise StorageUnavailable."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        # A leading dot covers "..", "." and our own folder of unfinished puts.
        if "\0" in name or any(not part or part.startswith(".") or len(part.encode()) > 255 for part in parts):
            raise InvalidRequest("A photo's name is a relative path such as uploads/ab/abcd.jpg.")
        return self._root.joinpath(*parts)

    async def _call(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise StorageUnavailable("The photo store is closed.")
        try:
            # Shielded: work that was begun ends, whoever stops waiting for it.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, work))
        except OSError as error:
            raise StorageUnavailable("The photo store cannot be used right now. Retry later.") from error

    def _stage(self, path: Path, data: bytes) -> tuple[int, Path] | tuple[None, None]:
        self._make_directory(path.parent)
        if path.is_file() and path.stat().st_size == len(data):
            return None, None
        temporary = self._unfinished / f"{uuid.uuid4().hex}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # says to another process that opens the store: this is no leftover
            write_all(fd, data)
            os.fsync(fd)
        except OSError:
            _drop(fd, temporary)
            raise
        return fd, temporary

    def _make_directory(self, directory: Path) -> None:
        """Once per process and directory, fsync the names on the way to it too: that it exists does not say that
        the put which made it got as far as that."""
        if directory in self._durable_directories:
            return
        directory.mkdir(parents=True, exist_ok=True)
        step = directory
        while step != self._root:
            step = step.parent
            fsync_directory(step)
        self._durable_directories.add(directory)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise RecordNotFound("There is no photo of this name.") from error


def _remove_if_abandoned(leftover: Path) -> None:
    try:
        fd = os.open(leftover, os.O_RDONLY)
    except FileNotFoundError:
        return  # its put has just finished
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leftover.unlink(missing_ok=True)
    except BlockingIOError:
        pass  # a put of another process is at work
    finally:
        os.close(fd)
