"""Photos that are in the store already, over REST and gRPC: real edges, service and stores; only the model is ours."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import grpc
import httpx
import pytest
from prometheus_client import generate_latest

from contract.answer import failed_row
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub, add_BestiaryServicer_to_server
from contract.options import DEFAULTS, Options
from contract.photo_status import PhotoStatus
from contract.priority import Priority
from contract.record import AckLevel, Record
from gateway.admission import Admission
from gateway.auth.guard import Guard, OpenAuthenticator
from gateway.auth.principal import Quota
from gateway.blob_names import BlobReferences
from gateway.classify import Classifier
from gateway.clock import SystemClock
from gateway.edge.grpc.access import Access
from gateway.edge.grpc.bestiary import BestiaryGrpc
from gateway.edge.http.app import HttpOptions, create_app
from gateway.metrics import Metrics
from gateway.ports import BlobStore, Inference, PhotoLinks
from gateway.quota import Quotas
from gateway.service import Service
from gateway.storage.azure_blob import BlobTimes, connect
from gateway.storage.azure_links import AzurePhotoLinks
from gateway.storage.directory import DirectoryBlobStore
from gateway.storage.journal import FileJournal
from gateway.storage.sqlite import SqliteResultStore
from imaging.header import read_header
from tests.support.blob_fake import BlobFake, running_fake
from tests.support.gateway import BOUNDS, READER, Beagles
from tests.support.references import ACCOUNT_URL, REFUSED

LIMIT = 1 << 20


class EmptyModel:
    """A ModelServer that finds nothing."""

    status = PhotoStatus.OK

    async def infer(
        self,
        photo: bytes,
        *,
        deadline: float,
        options: Options = DEFAULTS,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> Inference:
        row = failed_row(self.status)
        return Inference(row, READER.read(row))

    async def ready(self) -> bool:
        return True


class World:
    """Edges over a service over a store."""

    def __init__(self, folder: Path, store: BlobStore, references: BlobReferences, links: PhotoLinks | None) -> None:
        self.folder, self.store, self.references, self.links = folder, store, references, links
        self.fake: BlobFake | None = None
        self.model = EmptyModel()
        self.metrics = Metrics()

    async def start(self, stack: AsyncExitStack) -> None:
        clock = SystemClock()
        journal = await FileJournal.open(self.folder / "journal", clock)
        stack.push_async_callback(journal.close)
        results = await SqliteResultStore.open(self.folder / "results.sqlite")
        stack.push_async_callback(results.close)
        bounds = dataclasses.replace(BOUNDS, max_photo_bytes=LIMIT, max_held_bytes=2 * LIMIT)
        admission = Admission(bounds, clock)
        classifier = Classifier(
            inspect=read_header,
            model=self.model,
            blobs=self.store,
            journal=journal,
            clock=clock,
            observe=lambda stage, seconds: None,
        )
        stack.push_async_callback(classifier.close, 10)

        async def find(record_id: UUID) -> Record:
            return journal.undrained(record_id) or await results.get(record_id)

        service = Service(
            admission=admission,
            quotas=Quotas(clock, Quota()),
            classifier=classifier,
            model=self.model,
            find=find,
            releases=Beagles(),
            store=results,
            blobs=self.store,
            references=self.references,
            links=self.links,
            clock=clock,
            metrics=self.metrics,
            observe=self.metrics.observe_stage,
            default_ack=AckLevel.DURABLE,
            draining=lambda: True,
            triton_status_file=None,
        )
        admission.start()
        guard = Guard((OpenAuthenticator(),))
        app = create_app(service, guard, self.metrics, lambda: None, HttpOptions("0", 10, ("gateway",)))
        transport = httpx.ASGITransport(app)
        self.http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
        server = grpc.aio.server(interceptors=(Access(guard),))
        add_BestiaryServicer_to_server(BestiaryGrpc(service), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 0)
        self.grpc = BestiaryStub(await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}")))

    async def refer(self, reference: str) -> httpx.Response:
        return await self.http.post("/v1/classifications", json={"blob": reference})

    async def blobs(self) -> int:
        if self.fake is not None:
            return sum(len(blobs) for blobs in self.fake.containers.values())
        return sum(path.is_file() for path in (self.folder / "blobs").rglob("*"))


@pytest.fixture(params=["directory", "azure"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "directory":
            directory = DirectoryBlobStore(tmp_path / "blobs")
            stack.push_async_callback(directory.close)
            made = World(tmp_path, directory, BlobReferences(("uploads", "datasets")), None)
        else:
            fake = await stack.enter_async_context(running_fake())
            azure = connect(connection_string=fake.connection_string, times=BlobTimes(5, 5, 0.001))
            stack.push_async_callback(azure.close)
            await azure.create_containers()
            references = BlobReferences(("uploads", "datasets"), azure.client.url)
            made = World(tmp_path, azure, references, AzurePhotoLinks(azure.client, SystemClock(), 300))
            made.fake = fake
        await made.start(stack)
        yield made


async def test_a_photo_in_uploads_is_classified_where_it_is(world: World, cat: bytes) -> None:
    await world.store.put("uploads/2026/IMG 1.jpg", cat)
    answer = await world.refer("uploads/2026/IMG 1.jpg")
    assert answer.status_code == 201, answer.text
    photo = answer.json()["photo"]
    assert photo["blob"] == photo["source"] == "uploads/2026/IMG 1.jpg"
    assert photo["sha256"] == hashlib.sha256(cat).hexdigest()
    assert await world.blobs() == 1
    assert (await world.http.get(f"/v1/classifications/{answer.json()['id']}/photo")).content == cat


async def test_a_photo_of_a_dataset_is_kept_as_an_upload_too(world: World, cat: bytes) -> None:
    await world.store.put("datasets/summer/a.jpg", cat)
    for _ in range(2):
        photo = (await world.refer("datasets/summer/a.jpg")).json()["photo"]
        assert photo["source"] == "datasets/summer/a.jpg"
        assert photo["blob"].startswith("uploads/")
        assert await world.store.get(photo["blob"]) == cat
    assert await world.blobs() == 2


async def test_grpc_takes_a_reference_in_place_of_the_photo(world: World, cat: bytes) -> None:
    await world.store.put("uploads/a.jpg", cat)
    reply = await world.grpc.Classify(pb.ClassifyRequest(blob="uploads/a.jpg", filename="a.jpg"))
    assert reply.classification.photo.source == reply.classification.photo.blob == "uploads/a.jpg"
    sent = await world.grpc.Classify(pb.ClassifyRequest(photo=cat))
    assert sent.classification.photo.source == ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.grpc.Classify(pb.ClassifyRequest(blob="http://169.254.169.254/uploads/a.jpg"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.grpc.Classify(pb.ClassifyRequest(blob="uploads/none.jpg"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_url_of_a_blob_in_the_account_is_its_name(world: World, cat: bytes) -> None:
    await world.store.put("uploads/a.jpg", cat)
    if world.fake is None:
        assert (await world.refer(f"{ACCOUNT_URL}/uploads/a.jpg")).status_code == 400
        return
    account = f"http://127.0.0.1:{world.fake.port}/wildlife"
    assert (await world.refer(f"{account}/uploads/a.jpg")).json()["photo"]["blob"] == "uploads/a.jpg"
    link = (await world.links.link("uploads/a.jpg")).url if world.links else ""
    assert (await world.refer(link)).json()["code"] == "blob_refused", "not even a signature of our own"


async def test_refused_references_connect_to_nothing(world: World) -> None:
    if world.fake is not None:
        world.fake.requests.clear()
    for reference in REFUSED:
        if "\ud800" in reference:
            body = b'{"blob": "uploads/a\\ud800.jpg"}'
            answer = await world.http.post(
                "/v1/classifications", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 400
            continue
        answer = await world.refer(reference)
        assert answer.status_code == 400, reference
        assert answer.json()["code"] == ("blob_refused" if len(reference) <= 2048 else "invalid_request")
    assert world.fake is None or world.fake.requests == []


async def test_what_is_not_there_is_not_found(world: World) -> None:
    for reference in ("uploads/none.jpg", "datasets/none/none.jpg"):
        answer = await world.refer(reference)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_photo_over_the_limit_is_refused_before_it_is_read(world: World, cat: bytes) -> None:
    await world.store.put("datasets/large.jpg", cat + bytes(LIMIT))
    if world.fake is not None:
        world.fake.requests.clear()
    answer = await world.refer("datasets/large.jpg")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_bytes")
    if world.fake is not None:
        assert [request.split()[0] for request in world.fake.requests] == ["HEAD"]


async def test_what_is_no_photo_is_refused_as_if_it_were_sent(world: World) -> None:
    await world.store.put("datasets/a.txt", b"a list of animals")
    assert (await world.refer("datasets/a.txt")).json()["code"] == "not_an_image"
    assert await world.blobs() == 1


async def test_a_photo_that_is_refused_stays_in_the_store(world: World, cat: bytes) -> None:
    world.model.status = PhotoStatus.TRUNCATED
    await world.store.put("uploads/a.jpg", cat)
    assert (await world.refer("uploads/a.jpg")).json()["code"] == "truncated"
    assert await world.store.get("uploads/a.jpg") == cat


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"blob": 1}', b'{"blob": null}', b'{"blob": "uploads/a", "x": 1}', b"{", b" " * 20_000],
)
async def test_json_that_is_no_reference_is_the_callers_error(world: World, body: bytes) -> None:
    answer = await world.http.post(
        "/v1/classifications", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_a_store_that_fails_while_it_is_read_is_said_so_with_a_hint(world: World, cat: bytes) -> None:
    if world.fake is None:
        pytest.skip("a directory does not fail on demand")
    await world.store.put("datasets/a.jpg", cat)
    world.fake.fail("503", times=100, retry_after="7")
    answer = await world.refer("datasets/a.jpg")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "7"


async def test_a_store_that_is_silent_does_not_outlast_the_deadline(world: World, cat: bytes) -> None:
    if world.fake is None:
        pytest.skip("a directory does not fail on demand")
    await world.store.put("datasets/a.jpg", cat)
    world.fake.fail("silence", times=100)
    answer = await world.http.post(
        "/v1/classifications", json={"blob": "datasets/a.jpg"}, headers={"Bestiary-Timeout-Ms": "100"}
    )
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_bytes_of_references_count_as_held_and_are_given_back(world: World, cat: bytes) -> None:
    await world.store.put("datasets/a.jpg", cat)
    for _ in range(2 * 2 * LIMIT // len(cat)):
        assert (await world.refer("datasets/a.jpg")).status_code == 201


async def test_a_link_is_answered_where_asked_for(world: World, cat: bytes) -> None:
    sent = await world.http.post("/v1/classifications", content=cat, headers={"Content-Type": "image/jpeg"})
    path = f"/v1/classifications/{sent.json()['id']}/photo"
    answer = await world.http.get(path, params={"link": "true"})
    assert answer.headers["cache-control"] == "no-store"
    link = answer.json()
    if world.fake is None:
        assert link == {"url": path, "expires_at": None}
    else:
        assert link["expires_at"].endswith("Z")
        async with httpx.AsyncClient() as anywhere:
            assert (await anywhere.get(link["url"])).content == cat
    assert (await world.http.get(path)).content == cat
    unknown = path.replace(sent.json()["id"], "018f0000-0000-7000-8000-000000000000")
    assert (await world.http.get(unknown, params={"link": "true"})).status_code == 404


async def test_refusals_are_counted_by_their_reason(world: World) -> None:
    await world.refer("http://127.0.0.1/uploads/a.jpg")
    assert 'outcome="blob_refused"' in generate_latest(world.metrics.registry).decode()


MakeTrap = Callable[[Path], None]


def linked_file(root: Path) -> None:
    (root / "uploads" / "a.jpg").symlink_to("/etc/hostname")


def linked_folder(root: Path) -> None:
    (root / "uploads" / "2026").symlink_to("/etc")


def pipe(root: Path) -> None:
    import os

    os.mkfifo(root / "uploads" / "a.jpg")


@pytest.mark.parametrize(
    ("trap", "reference"),
    [(linked_file, "uploads/a.jpg"), (linked_folder, "uploads/2026/hostname"), (pipe, "uploads/a.jpg")],
)
async def test_no_link_or_pipe_in_the_directory_is_followed(world: World, trap: MakeTrap, reference: str) -> None:
    if world.fake is not None:
        pytest.skip("of the directory only")
    root = world.folder / "blobs"
    (root / "uploads").mkdir()
    trap(root)
    assert (await world.refer(reference)).status_code == 404
