"""What every BlobStore must do. To put another implementation under it, add a line to ``OPENERS``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import BlobStore
from gateway.storage.directory import DirectoryBlobStore

OPENERS: dict[str, Callable[[Path], BlobStore]] = {
    "directory": lambda folder: DirectoryBlobStore(folder / "blobs"),
}


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    opened = OPENERS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("data", [b"photo", b"", bytes(range(256)) * 9000], ids=["small", "empty", "2 MB"])
async def test_what_was_put_is_got(store: BlobStore, data: bytes) -> None:
    await store.put("uploads/ab/abcd.jpg", data)
    assert await store.get("uploads/ab/abcd.jpg") == data


@pytest.mark.parametrize("name", ["uploads/ab/none.jpg", "uploads", "uploads/ab/abcd.jpg/deeper", "none.jpg"])
async def test_an_unknown_name_is_not_found(store: BlobStore, name: str) -> None:
    await store.put("uploads/ab/abcd.jpg", b"photo")
    with pytest.raises(RecordNotFound):
        await store.get(name)


async def test_putting_again_is_harmless(store: BlobStore) -> None:
    for _ in range(2):
        await store.put("processed/ab/abcd.jpg", b"photo")
    assert await store.get("processed/ab/abcd.jpg") == b"photo"


async def test_concurrent_puts_of_one_name_all_succeed(store: BlobStore) -> None:
    data = b"photo" * 100_000
    await asyncio.gather(*(store.put("uploads/ab/abcd.jpg", data) for _ in range(20)))
    assert await store.get("uploads/ab/abcd.jpg") == data


async def test_concurrent_puts_of_many_names_keep_apart(store: BlobStore) -> None:
    names = [f"uploads/{n % 7:02x}/{n}.jpg" for n in range(40)]
    await asyncio.gather(*(store.put(name, name.encode()) for name in names))
    assert [await store.get(name) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../out.jpg", "a/../../out.jpg", "a//b.jpg", "a/./b.jpg", "a/", "a\0b.jpg", "a/" + "x" * 300],
)
async def test_names_that_leave_the_store_are_the_callers_error(store: BlobStore, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await store.put(name, b"x")
    with pytest.raises(InvalidRequest):
        await store.get(name)


async def test_after_close_everything_is_unavailable(store: BlobStore) -> None:
    await store.put("a.jpg", b"x")
    await store.close()
    with pytest.raises(StorageUnavailable):
        await store.put("b.jpg", b"x")
    with pytest.raises(StorageUnavailable):
        await store.get("a.jpg")


async def test_staged_bytes_have_a_name_only_after_commit(store: BlobStore) -> None:
    staged = await store.stage("uploads/ab/abcd.jpg", b"photo")
    with pytest.raises(RecordNotFound):
        await store.get("uploads/ab/abcd.jpg")
    await staged.commit()
    assert await store.get("uploads/ab/abcd.jpg") == b"photo"


async def test_discarding_leaves_a_blob_that_was_there(store: BlobStore) -> None:
    await (await store.stage("uploads/ab/new.jpg", b"photo")).discard()
    with pytest.raises(RecordNotFound):
        await store.get("uploads/ab/new.jpg")
    await store.put("uploads/ab/abcd.jpg", b"photo")
    await (await store.stage("uploads/ab/abcd.jpg", b"photo")).discard()
    assert await store.get("uploads/ab/abcd.jpg") == b"photo"
