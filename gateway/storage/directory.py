"""The embedded blob store: photos as files below one directory, named by their content."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

from gateway.blob_names import split_name
from gateway.errors import RecordNotFound, StorageUnavailable
from gateway.storage.files import fsync_directory, make_directory, write_all
from gateway.storage.threads import Threads

THREADS: Final = 4
"""Puts mostly wait for fsync; a few at a time let the file system join them."""
_UNFINISHED: Final = ".unfinished"
"""Where puts write before they rename. One folder, so that opening need not search millions of photos for leftovers."""
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""What opening a name says where there is no plain file of that name; ELOOP is a symbolic link."""

_T = TypeVar("_T")


_Call = Callable[[Callable[[], None]], Coroutine[None, None, None]]


class StagedFile:
    """A written file waiting for its name (the StagedBlob port); ``fd`` None where the blob is there already."""

    def __init__(self, call: _Call, path: str, fd: int | None, temporary: str | None) -> None:
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
                os.replace(self._temporary, self._path)
            except OSError:
                _remove(self._temporary)
                raise
            finally:
                os.close(self._fd)
        # Also where the blob was there: its bytes were durable before it got its name, but whoever is putting
        # it now may not have made the name durable yet.
        fsync_directory(os.path.dirname(self._path))


def _drop(fd: int, temporary: str) -> None:
    try:
        _remove(temporary)
    finally:
        os.close(fd)


def _remove(temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)


class DirectoryBlobStore:
    """The BlobStore port on a directory, which several processes may share.

    What a put does has names as text: every photo comes this way, and a ``Path`` costs as much as the call to the
    kernel that it is made for.
    """

    def __init__(self, root: Path) -> None:
        """Make the directory if it is missing and remove what killed puts left. Blocks; raises StorageUnavailable."""
        self._root = root
        self._unfinished = root / _UNFINISHED
        mine = f"{self._unfinished}/{uuid.uuid4().hex}"
        self._temporaries = (f"{mine}-{number}.tmp" for number in count())
        self._durable_directories: set[str] = set()
        self._threads = Threads(THREADS, "blobs")
        self._closed = False
        try:
            make_directory(self._unfinished)
            for leftover in self._unfinished.glob("*.tmp"):
                _remove_if_abandoned(leftover)
        except OSError as error:
            raise StorageUnavailable(f"The photo directory {root} cannot be used: {error}.") from error

    async def stage(self, name: str, data: bytes) -> StagedFile:
        """Write and fsync the bytes under no name yet; nothing is written if a blob of this name and size exists.

        Raises InvalidRequest if the name is none (gateway.blob_names), StorageUnavailable.
        """
        path = self._path(name)
        temporary = next(self._temporaries)
        fd = await self._call(lambda: self._stage(path, temporary, data))
        return StagedFile(self._call, path, fd, temporary)

    async def put(self, name: str, data: bytes) -> None:
        """Stage and commit. Raises as :meth:`stage`."""
        await (await self.stage(name, data)).commit()

    async def get(self, name: str, *, check_size: Callable[[int], None] | None = None) -> bytes:
        """The bytes. Raises RecordNotFound (also where a symbolic link is on the way, as that could lead out of the
        directory), InvalidRequest, StorageUnavailable, and what ``check_size`` raises."""
        self._path(name)
        parts = name.split("/")
        at_most = None
        if check_size is not None:
            at_most = await self._call(lambda: _size(self._root, parts))
            check_size(at_most)
        return await self._call(lambda: _read(self._root, parts, at_most))

    async def close(self) -> None:
        """Finish what was begun; further calls raise StorageUnavailable."""
        self._closed = True
        self._threads.close()
        await self._threads.ended()

    def _path(self, name: str) -> str:
        container, path = split_name(name)
        return f"{self._root}/{container}/{path}"

    async def _call(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise StorageUnavailable("The photo store is closed.")
        try:
            return await self._threads.call(work)  # which ends, whoever stops waiting for it
        except OSError as error:
            raise StorageUnavailable("The photo store cannot be used right now. Retry later.") from error

    def _stage(self, path: str, temporary: str, data: bytes) -> int | None:
        """The descriptor of ``temporary``, written; None if there is a blob of this size at ``path``."""
        self._make_directory(os.path.dirname(path))
        if _is_file_of(path, len(data)):
            return None
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # says to another process that opens the store: this is no leftover
            write_all(fd, data)
            os.fsync(fd)
        except OSError:
            _drop(fd, temporary)
            raise
        return fd

    def _make_directory(self, directory: str) -> None:
        """Once per process and directory, fsync the names on the way to it too: that it exists does not say that
        the put which made it got as far as that."""
        if directory in self._durable_directories:
            return
        step = Path(directory)
        step.mkdir(parents=True, exist_ok=True)
        while step != self._root:
            step = step.parent
            fsync_directory(step)
        self._durable_directories.add(directory)


def _is_file_of(path: str, size: int) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _open(root: Path, parts: Sequence[str]) -> tuple[int, int]:
    """Descriptor and size of a regular file, each step to it opened in the one before and no link followed."""
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened)
            os.close(opened)
            opened = below
        # Without O_NONBLOCK a named pipe would wait for its writer.
        fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
    except OSError as error:
        if error.errno in _ABSENT:
            raise RecordNotFound("There is no photo of this name.") from error
        raise
    finally:
        os.close(opened)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise RecordNotFound("There is no photo of this name.")
    return fd, status.st_size


def _size(root: Path, parts: Sequence[str]) -> int:
    fd, size = _open(root, parts)
    os.close(fd)
    return size


def _read(root: Path, parts: Sequence[str], at_most: int | None) -> bytes:
    fd, size = _open(root, parts)
    with os.fdopen(fd, "rb") as file:
        if at_most is not None and size > at_most:
            raise OSError("the file grew after its size was checked")
        data = file.read(size)
    if len(data) < size:
        raise OSError("the file was cut off while it was read")
    return data


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
