"""What is particular to blobs in a directory; the rest is in tests/conformance/test_blob_store.py."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import StorageUnavailable
from gateway.storage.directory import DirectoryBlobStore

NAME = "uploads/ab/abcd.jpg"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DirectoryBlobStore]:
    opened = DirectoryBlobStore(tmp_path)
    yield opened
    await opened.close()


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_a_blob_is_the_file_of_its_name_and_nothing_else_is_left(
    tmp_path: Path, store: DirectoryBlobStore
) -> None:
    await store.put(NAME, b"photo")
    assert files(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"photo"


async def test_an_existing_blob_is_not_written_again(tmp_path: Path, store: DirectoryBlobStore) -> None:
    await store.put(NAME, b"photo")
    before = (tmp_path / NAME).stat()
    await store.put(NAME, b"photo")
    assert (tmp_path / NAME).stat().st_ino == before.st_ino


async def test_a_blob_of_the_wrong_size_is_put_right(tmp_path: Path, store: DirectoryBlobStore) -> None:
    await store.put(NAME, b"photo")
    (tmp_path / NAME).write_bytes(b"pho")
    await store.put(NAME, b"photo")
    assert await store.get(NAME) == b"photo"


async def test_the_bytes_are_durable_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, store: DirectoryBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def note(fd: int) -> None:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        synced.append((path.removeprefix(str(tmp_path)).lstrip("/"), (tmp_path / NAME).exists()))
        real(fd)

    monkeypatch.setattr(os, "fsync", note)
    await store.put(NAME, b"photo")
    content = next(n for n, (path, _) in enumerate(synced) if path.endswith(".tmp"))
    assert synced[content][1] is False
    assert ("uploads/ab", True) in synced[content:]
    assert {path for path, _ in synced[:content]} == {"uploads", ""}  # the new folders' names, up to the root


@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_full_disk_leaves_no_blob_and_no_leftover(
    tmp_path: Path, store: DirectoryBlobStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    await store.put("uploads/ab/first.jpg", b"1")
    with monkeypatch.context() as full:

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(os, call, fail)
        with pytest.raises(StorageUnavailable) as refusal:
            await store.put(NAME, b"photo")
        assert isinstance(refusal.value.__cause__, OSError)
        assert files(tmp_path) == ["uploads/ab/first.jpg"]
    await store.put(NAME, b"photo")
    assert await store.get(NAME) == b"photo"


async def test_opening_removes_what_killed_puts_left_but_not_what_is_being_put(tmp_path: Path) -> None:
    await DirectoryBlobStore(tmp_path).close()
    unfinished = tmp_path / ".unfinished"
    (unfinished / "dead.tmp").write_bytes(b"half a ph")
    living = os.open(unfinished / "living.tmp", os.O_WRONLY | os.O_CREAT)
    fcntl.flock(living, fcntl.LOCK_EX)
    await DirectoryBlobStore(tmp_path).close()
    assert files(tmp_path) == [".unfinished/living.tmp"]
    os.close(living)


async def test_a_root_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable):
        DirectoryBlobStore(tmp_path / "file" / "blobs")
