"""A gateway in this process with real storage and a model server that names every photo a beagle."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2_grpc
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from contract.answer import AnswerReader, failed_row
from contract.generated.bestiary.v1.bestiary_pb2_grpc import add_BestiaryServicer_to_server
from contract.options import DEFAULTS, Options
from contract.photo_status import PhotoStatus
from contract.priority import Priority
from contract.record import AckLevel
from contract.taxonomy import Depth, parse_taxonomy
from contract.tensors import SPECIES_IDS, SPECIES_SCORES, TAXON, TAXON_SCORE, TOP_K
from gateway.admission import Admission, Bounds
from gateway.auth.guard import Guard
from gateway.auth.principal import Quota
from gateway.blob_names import BlobReferences
from gateway.classify import Classifier
from gateway.clock import SystemClock
from gateway.edge.grpc.access import Access
from gateway.edge.grpc.bestiary import BestiaryGrpc
from gateway.edge.grpc.kserve import KServeGrpc
from gateway.edge.http.app import HttpOptions, create_app
from gateway.metrics import Metrics
from gateway.ports import Authenticator, Inference, ReleaseStatus
from gateway.quota import Quotas
from gateway.service import Service
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.directory import DirectoryBlobStore
from gateway.storage.drain import Drain
from gateway.storage.finder import RecordFinder
from gateway.storage.journal import FileJournal
from gateway.storage.siblings import SiblingJournals
from gateway.storage.sqlite import SqliteResultStore
from imaging.header import read_header
from tests.support.stack import ROOT

TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())
READER = AnswerReader(TAXONOMY, 0.95)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


BOUNDS = Bounds(
    max_inflight=16,
    min_inflight=2,
    max_waiting=64,
    max_photo_bytes=1 << 22,
    max_held_bytes=1 << 26,
    default_timeout_s=10,
    max_timeout_s=60,
    slo_s=5.0,
)


class TestClock:
    """Stands still until it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - NOW).total_seconds() + 1000.0

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Beagles:
    """A ModelServer whose one release calls every photo a beagle."""

    async def infer(
        self,
        photo: bytes,
        *,
        deadline: float,
        options: Options = DEFAULTS,
        priority: Priority = Priority.INTERACTIVE,
        caller: str = "",
    ) -> Inference:
        row = failed_row(PhotoStatus.OK)
        beagle = TAXONOMY.by_key("beagle").index
        row[TAXON.name] = struct.pack("<2i", beagle, Depth.SPECIES)
        row[TAXON_SCORE.name] = struct.pack("<f", 0.9)
        row[SPECIES_IDS.name] = struct.pack(f"<{TOP_K}i", beagle, *[-1] * (TOP_K - 1))
        row[SPECIES_SCORES.name] = struct.pack(f"<{TOP_K}f", 0.9, *[0] * (TOP_K - 1))
        return Inference(row, READER.read(row))

    async def ready(self) -> bool:
        return True

    async def config(self) -> Any:
        return service_pb2.ModelConfigResponse()

    async def statistics(self) -> Any:
        return service_pb2.ModelStatisticsResponse()

    def check(self) -> str:
        return "ok"

    def status(self) -> ReleaseStatus:
        return ReleaseStatus(champion="beagles@0123456789ab")


@dataclass
class Running:
    """What a test may look at or call."""

    app: FastAPI
    service: Service
    guard: Guard
    store: SqliteResultStore
    serve_grpc: Callable[..., AbstractAsyncContextManager[int]] = field(repr=False)

    def http(self, base_url: str = "http://127.0.0.1") -> httpx.AsyncClient:
        """A client of the application, without a socket."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=base_url)


@asynccontextmanager
async def running_gateway(
    root: Path,
    *authenticators: Authenticator,
    quota: Quota = Quota(),  # noqa: B008  # frozen
    clock: TestClock | None = None,
    options: HttpOptions | None = None,
) -> AsyncIterator[Running]:
    """Everything behind the listeners, and both edges in front of it. ``clock`` is that of quotas only."""
    system, metrics = SystemClock(), Metrics()
    journal = await FileJournal.open(root / "journal", system)
    store = await SqliteResultStore.open(root / "results.sqlite")
    blobs, model = DirectoryBlobStore(root / "blobs"), Beagles()
    letters = DeadLetterFile(root / "dead.jsonl")
    drain = Drain(journal, store, letters, system)
    finder = RecordFinder(journal, store, SiblingJournals(root, root / "journal"), letters)
    drain.start()
    admission = Admission(BOUNDS, system)
    admission.start()
    classifier = Classifier(
        inspect=read_header, model=model, blobs=blobs, journal=journal,
        clock=system, observe=lambda stage, seconds: None,
    )  # fmt: skip
    service = Service(
        admission=admission, quotas=Quotas(clock or system, quota), classifier=classifier, model=model,
        find=finder.find, releases=model, store=store, blobs=blobs,
        references=BlobReferences(("uploads", "datasets")), links=None,
        clock=system, metrics=metrics, observe=metrics.observe_stage,
        default_ack=AckLevel.STORED, draining=lambda: drain.running, triton_status_file=None,
    )  # fmt: skip
    guard = Guard(authenticators)
    given = options or HttpOptions("1", 5.0, ("127.0.0.1",))
    app = create_app(service, guard, metrics, lambda: None, given)

    @asynccontextmanager
    async def serve_grpc(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[int]:
        server = grpc.aio.server(interceptors=(Access(guard),))
        add_BestiaryServicer_to_server(BestiaryGrpc(service), server)
        add_GRPCInferenceServiceServicer_to_server(KServeGrpc(service, model, "1"), server)
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        await server.start()
        try:
            yield port
        finally:
            await server.stop(None)

    try:
        yield Running(app, service, guard, store, serve_grpc)
    finally:
        await classifier.close(10)
        await drain.close(10)
        await journal.close()
        await store.close()
        await blobs.close()
        await guard.close()
