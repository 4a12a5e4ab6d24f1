"""The model store in a directory, which several processes of one machine share.

releases/<identity>/    a release as it was exported
rollout/state.json      which release answers; replaced under the lock rollout/lock
rollout/replicas/       reports, a file each; rollout/gateways/ likewise
unfinished/             what is being written; renamed when it is whole and durable
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from contract.release import Release
from contract.rollout import RolloutState
from rollout.errors import ReleaseBroken, ReleaseNotFound, StateConflict, StoreUnavailable
from rollout.ports import ReportKind, Versioned
from rollout.store.contents import (
    MANIFEST_PATH,
    check_identity,
    check_reporter,
    copy_checked,
    expected_digest,
    read_manifest,
    read_state,
    wrong_digest,
)

ABANDONED_S: Final = 3600.0
"""What lies unfinished for so long belongs to nobody."""

_T = TypeVar("_T")


class DirectoryModelStore:
    """The ModelStore port on a directory. Every write is whole and durable, or it did not happen."""

    def __init__(self, root: Path) -> None:
        """Make the directory if it is missing. Blocks; raises StoreUnavailable."""
        self._root = root
        self._releases = root / "releases"
        self._rollout = root / "rollout"
        self._unfinished = root / "unfinished"
        self._state = self._rollout / "state.json"
        with self._errors():
            for folder in (self._releases, self._unfinished, self._folder("replicas"), self._folder("gateways")):
                folder.mkdir(parents=True, exist_ok=True)

    async def put(self, folder: Path) -> str:
        """See ModelStore. Files that the manifest does not name are not kept."""
        return await self._call(lambda: self._put(folder))

    async def fetch(self, identity: str, folder: Path) -> None:
        """See ModelStore. A ``folder`` that is there is replaced."""
        await self._call(lambda: self._fetch(identity, folder))

    async def releases(self) -> tuple[str, ...]:
        """See ModelStore."""
        return await self._call(lambda: tuple(sorted(one.name for one in self._releases.iterdir() if one.is_dir())))

    async def manifest(self, identity: str) -> Release:
        """See ModelStore."""
        return await self._call(lambda: read_manifest(self._manifest_text(identity), identity)[1])

    async def text(self, identity: str, path: str) -> str:
        """See ModelStore."""
        return await self._call(lambda: self._text(identity, path))

    async def delete(self, identity: str) -> None:
        """See ModelStore."""
        await self._call(lambda: self._delete(self._path(identity)))

    async def state(self) -> Versioned | None:
        """See ModelStore."""
        return await self._call(self._read_state)

    async def write_state(self, state: RolloutState, version: str | None) -> str:
        """See ModelStore."""
        return await self._call(lambda: self._write_state(state, version))

    async def report(self, kind: ReportKind, name: str, text: str) -> None:
        """See ModelStore. Not made durable: a report is old after seconds."""
        path = self._folder(kind) / f"{check_reporter(name)}.json"
        await self._call(lambda: self._replace(path, text.encode(), durable=False))

    async def reports(self, kind: ReportKind) -> Mapping[str, str]:
        """See ModelStore."""
        return await self._call(lambda: self._reports(self._folder(kind)))

    async def drop_report(self, kind: ReportKind, name: str) -> None:
        """See ModelStore."""
        path = self._folder(kind) / f"{check_reporter(name)}.json"
        await self._call(lambda: path.unlink(missing_ok=True))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _call(self, work: Callable[[], _T]) -> _T:
        """``work`` on a thread; it ends, whoever stops waiting for it."""
        with self._errors():
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = os.strerror(error.errno) if error.errno else str(error)
            at = f" ({error.filename})" if error.filename else ""
            raise StoreUnavailable(f"The model store {self._root} cannot be used: {what}{at}.") from error

    def _path(self, identity: str) -> Path:
        return self._releases / check_identity(identity)

    def _folder(self, kind: ReportKind) -> Path:
        return self._rollout / kind

    def _put(self, folder: Path) -> str:
        self._sweep()
        source = folder / MANIFEST_PATH
        try:
            text = source.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            raise ReleaseBroken(f"{folder} is no release: it has no manifest at {MANIFEST_PATH}.") from None
        identity, release = read_manifest(text)
        target = self._path(identity)
        if target.is_dir():
            return identity
        with self._scratch() as fresh:
            _copy_release(folder, fresh, identity, release.files, durable=True)
            _write_durably(fresh / MANIFEST_PATH, text.encode())
            _fsync_below(fresh)
            try:
                fresh.rename(target)
            except OSError:
                if not target.is_dir():  # else somebody else kept the same release first
                    raise
            _fsync(self._releases)
        return identity

    def _fetch(self, identity: str, folder: Path) -> None:
        text = self._manifest_text(identity)
        _, release = read_manifest(text, identity)
        fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        try:
            _copy_release(self._path(identity), fresh, identity, release.files)
            (fresh / MANIFEST_PATH).write_text(text, encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _manifest_text(self, identity: str) -> str:
        folder = self._path(identity)
        if not folder.is_dir():
            raise ReleaseNotFound(f"There is no release {identity} in {self._root}: see `bestiary releases list`.")
        try:
            return (folder / MANIFEST_PATH).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            raise ReleaseBroken(f"Release {identity} has lost its manifest: publish it again.") from None

    def _text(self, identity: str, path: str) -> str:
        text = self._manifest_text(identity)
        _, release = read_manifest(text, identity)
        if path == MANIFEST_PATH:
            return text
        expected = expected_digest(release, path)
        try:
            data = (self._path(identity) / path).read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != expected:
            raise wrong_digest(identity, path)
        return data.decode()

    def _delete(self, path: Path) -> None:
        with self._scratch() as grave:
            try:
                path.rename(grave)  # readers see it whole or not at all
            except FileNotFoundError:
                return
            _fsync(self._releases)

    def _read_state(self) -> Versioned | None:
        try:
            data = self._state.read_bytes()
        except FileNotFoundError:
            return None
        return Versioned(read_state(data.decode(errors="replace"), str(self._root)), hashlib.sha256(data).hexdigest())

    def _write_state(self, state: RolloutState, version: str | None) -> str:
        data = (state.model_dump_json(indent=2) + "\n").encode()
        with self._locked():
            before = self._read_state()
            if (before.version if before else None) != version:
                raise StateConflict("Somebody else changed the rollout in between: look at its status and try again.")
            self._replace(self._state, data)
        return hashlib.sha256(data).hexdigest()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the state against other processes; the kernel lets go if this one dies."""
        fd = os.open(self._rollout / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _replace(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        with self._scratch() as fresh:
            if durable:
                _write_durably(fresh, data)
            else:
                fresh.write_bytes(data)
            fresh.replace(path)
            if durable:
                _fsync(path.parent)

    def _reports(self, folder: Path) -> dict[str, str]:
        found = {}
        for file in sorted(folder.glob("*.json")):
            try:
                found[file.stem] = file.read_text(encoding="utf-8")
            except FileNotFoundError:
                continue  # dropped a moment ago
        return found

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A name that is free, for a file or folder; what is left under it in the end is removed."""
        path = self._unfinished / uuid.uuid4().hex
        try:
            yield path
        finally:
            _remove(path)

    def _sweep(self) -> None:
        """Remove what killed writers left."""
        newest = _now(self._unfinished) - ABANDONED_S
        for leftover in self._unfinished.iterdir():
            try:
                if leftover.stat().st_mtime < newest:
                    _remove(leftover)
            except FileNotFoundError:
                continue


def _copy_release(
    source: Path, target: Path, identity: str, files: Mapping[str, str], *, durable: bool = False
) -> None:
    """Copy ``files`` (path -> SHA-256) and check what was written. Raises ReleaseBroken, OSError."""
    for path, expected in files.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            opened = (source / path).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ReleaseBroken(f"{path} of {identity} is missing: publish or export it again.") from None
        with opened, file.open("xb") as copy:
            if not copy_checked(opened, copy, expected):
                raise wrong_digest(identity, path)
            if durable:
                copy.flush()
                os.fsync(copy.fileno())


def _write_durably(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _fsync_below(folder: Path) -> None:
    """Make the names in a folder and in all below it durable."""
    for below in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        _fsync(below)


def _fsync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _now(folder: Path) -> float:
    """The file system's own clock, seconds: its time stamps are compared with it."""
    probe = folder / uuid.uuid4().hex
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
