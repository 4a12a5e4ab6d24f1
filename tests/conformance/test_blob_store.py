"""What every BlobStore must do. To put another implementation under it, add a line to ``OPENERS``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import InvalidRequest, RecordNotFound, StorageUnavailable
from gateway.ports import BlobStore
from gateway.storage.azure_blob import AzureBlobStore, connect
from gateway.storage.directory import DirectoryBlobStore
from tests.support.blob_fake import running_fake


@asynccontextmanager
async def in_directory(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[BlobStore]:
    opened = DirectoryBlobStore(folder / "blobs")
    yield opened
    await opened.close()


@asynccontextmanager
async def in_azurite(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[BlobStore]:
    opened = connect(connection_string=request.getfixturevalue("azurite"))
    await opened.create_containers()
    async for container in opened.client.list_containers():
        there = opened.client.get_container_client(container.name)
        async for name in there.list_blob_names():
            await there.delete_blob(name)
    yield opened
    await opened.close()


@asynccontextmanager
async def in_fake(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[BlobStore]:
    async with running_fake() as fake:
        opened: AzureBlobStore = connect(connection_string=fake.connection_string)
        await opened.create_containers()
        yield opened
        await opened.close()


OPENERS: dict[str, Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[BlobStore]]] = {
    "directory": in_directory,
    "azurite": in_azurite,
    "fake": in_fake,
}


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with OPENERS[request.param](request, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    "data",
    [b"photo", b"", bytes(range(256)) * 9000, bytes(range(251)) * 80_000],
    ids=["small", "empty", "2 MB", "three blocks"],
)
async def test_what_was_put_is_got(store: BlobStore, data: bytes) -> None:
    await store.put("uploads/ab/abcd.jpg", data)
    assert await store.get("uploads/ab/abcd.jpg") == data


@pytest.mark.parametrize("name", ["uploads/ab/none.jpg", "uploads/ab", "uploads/ab/abcd.jpg/deeper", "models/none"])
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
    ["", "none.jpg", "uploads", "uploads/", "elsewhere/a.jpg", "Uploads/a.jpg", "/etc/passwd", "../out.jpg",
     "uploads/../../out.jpg", "uploads//b.jpg", "uploads/./b.jpg", "uploads/a/", "uploads/a\0b.jpg",
     "uploads/%2e%2e/b.jpg", "uploads/b.jpg?sig=x", "uploads/b.jpg#x", "uploads\\b.jpg", "uploads/b.", "uploads/\ud800",
     "uploads/" + "x" * 300, "uploads" + "/x" * 600],
)  # fmt: skip
async def test_names_that_leave_the_store_are_the_callers_error(store: BlobStore, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await store.put(name, b"x")
    with pytest.raises(InvalidRequest):
        await store.get(name)


async def test_after_close_everything_is_unavailable(store: BlobStore) -> None:
    await store.put("uploads/a.jpg", b"x")
    await store.close()
    with pytest.raises(StorageUnavailable):
        await store.put("uploads/b.jpg", b"x")
    with pytest.raises(StorageUnavailable):
        await store.get("uploads/a.jpg")


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


async def test_names_with_spaces_and_letters_of_any_script_are_kept_apart(store: BlobStore) -> None:
    names = ["datasets/Camera 7/IMG (1)+a.jpg", "datasets/ж/löwe=&@'.jpg", "datasets/löwe,;!$~.jpg"]
    for name in names:
        await store.put(name, name.encode())
    assert [await store.get(name) for name in names] == [name.encode() for name in names]


async def test_the_size_is_told_before_the_bytes_are_read_and_may_end_it(store: BlobStore) -> None:
    await store.put("datasets/a.jpg", b"photo")
    told: list[int] = []
    assert await store.get("datasets/a.jpg", check_size=told.append) == b"photo"
    assert told == [5]

    def refuse(size_bytes: int) -> None:
        raise InvalidRequest(f"{size_bytes} is too much")

    with pytest.raises(InvalidRequest, match="5 is too much"):
        await store.get("datasets/a.jpg", check_size=refuse)
    with pytest.raises(RecordNotFound):
        await store.get("datasets/none.jpg", check_size=told.append)
    assert told == [5]


async def test_two_that_stage_one_name_may_both_commit(store: BlobStore) -> None:
    first = await store.stage("uploads/ab/abcd.jpg", b"photo")
    second = await store.stage("uploads/ab/abcd.jpg", b"photo")
    await first.commit()
    await second.commit()
    assert await store.get("uploads/ab/abcd.jpg") == b"photo"


async def test_a_commit_that_nobody_waits_for_any_more_is_done(store: BlobStore) -> None:
    staged = await store.stage("uploads/ab/abcd.jpg", b"photo")
    commit = asyncio.create_task(staged.commit())
    await asyncio.sleep(0)
    commit.cancel()
    await asyncio.wait([commit])
    await store.put("uploads/other.jpg", b"x")

    async def there() -> bytes:
        while True:
            try:
                return await store.get("uploads/ab/abcd.jpg")
            except RecordNotFound:
                await asyncio.sleep(0.01)

    assert await asyncio.wait_for(there(), 10) == b"photo"
