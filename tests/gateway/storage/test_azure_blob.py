"""The real SDK against a Blob Storage that fails as it is told; what any store must do is in tests/conformance."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.blob_names import BlobReferences
from gateway.errors import RecordNotFound, StorageUnavailable
from gateway.storage.azure_blob import BLOCK_BYTES, CHUNK_BYTES, AzureBlobStore, BlobTimes, connect
from tests.support.azurite import connection_string
from tests.support.blob_fake import BlobFake, Stored, running_fake

PHOTO = b"photo" * 1000
DIGEST = hashlib.sha256(PHOTO).hexdigest()
NAME = f"uploads/{DIGEST[:2]}/{DIGEST}.jpg"
QUICK = BlobTimes(connect_s=5, read_s=0.2, backoff_s=0.001)


@pytest.fixture
async def fake() -> AsyncIterator[BlobFake]:
    async with running_fake() as running:
        yield running


@pytest.fixture
async def store(fake: BlobFake) -> AsyncIterator[AzureBlobStore]:
    opened = connect(connection_string=fake.connection_string, times=QUICK)
    await opened.create_containers()
    fake.requests.clear()
    yield opened
    await opened.close()


def blob(fake: BlobFake, name: str = NAME) -> Stored:
    container, _, path = name.partition("/")
    return fake.containers[container][path]


async def test_a_photo_is_one_block_and_carries_its_type_and_digests(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put(NAME, PHOTO)
    assert [request.split()[0] for request in fake.requests] == ["PUT", "PUT"]
    stored = blob(fake)
    assert stored.data == PHOTO
    assert stored.headers["Content-Type"] == "image/jpeg"
    assert stored.headers["Content-MD5"]
    assert next(value for name, value in stored.headers.items() if name.lower() == "x-ms-meta-sha256") == DIGEST


async def test_a_second_put_leaves_the_blob_as_it_is(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put(NAME, PHOTO)
    before = blob(fake)
    await store.put(NAME, PHOTO)
    assert blob(fake) is before


async def test_refused_photos_leave_nothing_that_has_a_name(fake: BlobFake, store: AzureBlobStore) -> None:
    for _ in range(3):
        await (await store.stage(NAME, PHOTO)).discard()
    assert fake.containers["uploads"] == {}
    assert [len(blocks) for blocks in fake.blocks.values()] == [1], "staging again replaces the block"


@pytest.mark.parametrize("kind", ["500", "503", "silence", "cut"])
@pytest.mark.parametrize("query", ["comp=block&", "comp=blocklist"])
async def test_a_fault_that_passes_is_retried(fake: BlobFake, store: AzureBlobStore, kind: str, query: str) -> None:
    fake.fail(kind, query=query, times=2)
    await store.put(NAME, PHOTO)
    assert blob(fake).data == PHOTO


@pytest.mark.parametrize("kind", ["500", "503", "silence"])
@pytest.mark.parametrize("doing", ["put", "get"])
async def test_retries_are_few_and_then_it_is_unavailable(
    fake: BlobFake, store: AzureBlobStore, kind: str, doing: str
) -> None:
    await store.put(NAME, PHOTO)
    fake.requests.clear()
    fake.fail(kind, times=1000)
    with pytest.raises(StorageUnavailable) as caught:
        await (store.put(NAME, PHOTO) if doing == "put" else store.get(NAME))
    assert len(fake.requests) == 3
    assert caught.value.retry_after_s == 1.0
    assert "127.0.0.1" not in str(caught.value)


async def test_a_long_pause_that_the_service_asks_for_goes_to_the_caller(fake: BlobFake, store: AzureBlobStore) -> None:
    fake.fail("503", times=1000, retry_after="17")
    with pytest.raises(StorageUnavailable) as caught:
        await store.put(NAME, PHOTO)
    assert caught.value.retry_after_s == 17
    assert len(fake.requests) == 1, "no try inside the pause"


async def test_a_photo_whose_answer_breaks_off_is_read_again(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put(NAME, PHOTO)
    fake.fail("cut", method="GET")
    assert await store.get(NAME) == PHOTO


async def test_a_commit_whose_answer_was_lost_is_done(fake: BlobFake, store: AzureBlobStore) -> None:
    staged = await store.stage(NAME, PHOTO)
    await (await store.stage(NAME, PHOTO)).commit()  # as if the first try had come through
    fake.fail("500", query="comp=blocklist")
    await staged.commit()
    assert blob(fake).data == PHOTO


async def test_blocks_that_another_commit_dropped_are_no_fault_if_the_blob_is_there(
    fake: BlobFake, store: AzureBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = await store.stage(NAME, PHOTO)
    fake.blocks.clear()
    with pytest.raises(StorageUnavailable):
        await staged.commit()
    await store.put(NAME, PHOTO)
    # A service that looks at the blocks before the condition.
    monkeypatch.setattr(fake, "_put_block_list", lambda *_: fake.refuse(400, "InvalidBlockList"))
    await staged.commit()


async def test_damaged_bytes_are_not_handed_out(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put(NAME, PHOTO)
    blob(fake).data = PHOTO[:-1] + b"?"
    with pytest.raises(StorageUnavailable, match="something else"):
        await store.get(NAME)


async def test_no_more_is_read_than_was_announced(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put("datasets/a.jpg", PHOTO)
    real = fake._read

    def longer(request: web.Request, container: str, path: str) -> web.Response:
        if request.method == "GET":
            blob(fake, "datasets/a.jpg").data = PHOTO + b"more"  # and the version stays the same
        return real(request, container, path)

    fake._read = longer  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await store.get("datasets/a.jpg")


async def test_a_compressed_blob_is_not_unpacked(fake: BlobFake, store: AzureBlobStore) -> None:
    packed = gzip.compress(bytes(1 << 20))
    await store.put("datasets/a.jpg", packed)
    blob(fake, "datasets/a.jpg").headers["Content-Encoding"] = "gzip"
    assert await store.get("datasets/a.jpg") == packed


async def test_closing_does_not_wait_for_ever(fake: BlobFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.storage.azure_blob.CLOSE_S", 0.01)
    store = connect(connection_string=fake.connection_string, times=BlobTimes(5, 60, 0.001))
    fake.fail("silence", times=9)
    staging = asyncio.create_task(store.stage(NAME, PHOTO))
    while not fake.requests:  # noqa: ASYNC110  # the fake is on this loop and answers nothing here
        await asyncio.sleep(0.001)
    await store.close()
    with pytest.raises(asyncio.CancelledError):
        await staging


async def test_without_a_key_the_managed_identity_is_used() -> None:
    store = connect(account_url="https://wildlife.blob.core.windows.net/")
    assert store.client.account_name == "wildlife"
    assert type(store.client.credential).__name__ == "DefaultAzureCredential"
    assert BlobReferences(("uploads",), store.client.url).name_of(f"{store.client.url}uploads/a.jpg") == "uploads/a.jpg"
    await store.close()


async def test_a_blob_that_changes_between_two_reads_is_not_mixed(fake: BlobFake, store: AzureBlobStore) -> None:
    await store.put("datasets/a.jpg", b"a" * (CHUNK_BYTES + 1))
    real = fake._read

    def changing(request: web.Request, container: str, path: str) -> web.Response:
        answer = real(request, container, path)
        if request.method == "GET":
            blob(fake, "datasets/a.jpg").etag = '"another"'
        return answer

    fake._read = changing  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await store.get("datasets/a.jpg")


async def test_a_wrong_key_is_our_fault_and_not_the_callers(fake: BlobFake) -> None:
    other = connect(connection_string=connection_string(fake.port, "wildlife", "d3Jvbmc="), times=QUICK)
    with pytest.raises(StorageUnavailable):
        await other.get(NAME)
    await other.close()


async def test_containers_that_may_not_be_created_have_to_be_there(fake: BlobFake) -> None:
    fake.may_create_containers = False
    store = connect(connection_string=fake.connection_string, times=QUICK)
    await store.create_containers()
    with pytest.raises(StorageUnavailable):
        await store.put(NAME, PHOTO)
    with pytest.raises(RecordNotFound):
        await store.get(NAME)
    await store.close()


async def test_a_redirect_is_not_followed(fake: BlobFake, store: AzureBlobStore) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return web.Response()

    reached: list[str] = []
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    there = f"http://127.0.0.1:{runner.addresses[0][1]}/secret"
    fake._answer = lambda request, body: web.Response(status=302, headers={"Location": there})  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        await store.get(NAME)
    await runner.cleanup()
    assert reached == []


async def test_an_account_that_cannot_be_reached_is_said_so() -> None:
    async with running_fake() as gone:
        pass
    store = connect(connection_string=gone.connection_string, times=QUICK)
    with pytest.raises(StorageUnavailable):
        await store.create_containers()
    await store.close()


async def test_close_waits_for_a_commit_that_was_left(fake: BlobFake) -> None:
    store = connect(connection_string=fake.connection_string, times=QUICK)
    await store.create_containers()
    staged = await store.stage(NAME, PHOTO)
    commit = asyncio.create_task(staged.commit())
    await asyncio.sleep(0)
    commit.cancel()
    await store.close()
    assert blob(fake).data == PHOTO


async def test_sending_keeps_no_second_copy() -> None:
    async def swallow(request: web.Request) -> web.StreamResponse:
        async for _ in request.content.iter_chunked(65536):
            pass
        return web.Response(status=201)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("PUT", "/{rest:.*}", swallow)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    store = connect(connection_string=connection_string(runner.addresses[0][1], "wildlife", "a2V5"))
    photo = bytes(2 * BLOCK_BYTES)
    await store.put(NAME, PHOTO)  # imports and connection
    tracemalloc.start()
    await store.put(NAME, photo)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await store.close()
    await runner.cleanup()
    assert peak < len(photo) / 8


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"account_url": "https://a.blob.core.windows.net", "connection_string": "AccountName=a;AccountKey=a2V5"},
        {"connection_string": "hunter2"},
        {"connection_string": "BlobEndpoint=https://a.example/;SharedAccessSignature=sig=hunter2"},
        {"account_url": "http://a.blob.core.windows.net"},
        {"account_url": "https://a.blob.core.windows.net?sig=hunter2"},
        {"account_url": "https://me@a.blob.core.windows.net"},
    ],
)
async def test_wrong_settings_are_one_sentence_without_secrets(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="BESTIARY_BLOB") as caught:
        connect(**wrong)
    assert "hunter2" not in str(caught.value)
