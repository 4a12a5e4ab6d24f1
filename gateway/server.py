"""The life cycle of one gateway process: start in order, serve, drain, stop.

Start: Triton channel → journal and store → drain → the rollout's state → admit → listeners (a worker that is started
again gets connections as soon as it listens).
Stop: not ready → stop admitting → finish what was admitted → listeners → flush and drain the journal → stores
→ rollout → Triton channel. Each wait has a limit, and so has all of it; what is still in the journal then is drained at
the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import signal
import socket

import grpc
import uvicorn
from fastapi import FastAPI
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from contract.generated.bestiary.v1 import bestiary_pb2
from contract.generated.bestiary.v1.bestiary_pb2_grpc import add_BestiaryServicer_to_server
from contract.slo import read_slo
from gateway.admission import Admission, Bounds
from gateway.audit import open_audit_log
from gateway.auth.principal import Quota
from gateway.auth.setup import is_loopback, make_guard, refuse_open_bind, tls_files
from gateway.classify import Classifier
from gateway.clock import SystemClock
from gateway.edge.grpc.access import Access
from gateway.edge.grpc.bestiary import BestiaryGrpc
from gateway.edge.grpc.kserve import KServeGrpc
from gateway.edge.grpc.traced import Traced
from gateway.edge.http.app import HttpOptions, create_app
from gateway.edge.http.listener import ConnectionLimits, Listener, bounded_http
from gateway.metrics import Metrics
from gateway.quota import Quotas
from gateway.rollout.setup import Models
from gateway.service import Service
from gateway.settings import Settings, Store
from gateway.storage.adoption import Adoption, orphans
from gateway.storage.blobs import open_blobs
from gateway.storage.budget import RequestUnitBudget
from gateway.storage.dead_letters import DeadLetterFile
from gateway.storage.drain import Drain
from gateway.storage.factory import open_result_store
from gateway.storage.finder import RecordFinder
from gateway.storage.journal import GATHER_S, FileJournal
from gateway.storage.siblings import SiblingJournals, journal_directory
from gateway.tls import grpc_credentials, http_context, keep_current
from gateway.tracing.setup import open_traces
from gateway.triton.client import TritonClient
from gateway.triton.http import TritonHttp
from gateway.worker_metrics import WorkerMetrics
from imaging.header import read_header

log = logging.getLogger(__name__)

GRPC_MESSAGE_ROOM = 2
"""gRPC takes messages of this many times the photo limit, so that the refusal of a large photo is ours."""

GRPC_CALLS = 4
"""gRPC calls at once, as a multiple of ``max_inflight``: streams and reads are calls too. More are refused."""

KEEPALIVE_TIMEOUT_MS = 20_000
"""A gRPC client that does not answer a ping for so long is gone; gRPC's own default."""

STOP_GRACE_S = 5.0
"""Past ``drain_timeout_s``, what closing files and channels may take before the process ends without it."""

VERSION = importlib.metadata.version("bestiary")


class Gateway:
    """One gateway process: composition and life cycle."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._clock = SystemClock()
        self._tls_watch: asyncio.Task[None] | None = None
        self.http_port = settings.http_port
        self.grpc_port = settings.grpc_port
        bounds = Bounds(
            max_inflight=settings.max_inflight,
            min_inflight=settings.min_inflight,
            max_waiting=settings.max_waiting,
            max_photo_bytes=settings.max_photo_bytes,
            max_held_bytes=settings.max_held_bytes,
            default_timeout_s=settings.default_timeout_s,
            max_timeout_s=settings.max_timeout_s,
            slo_s=read_slo(settings.slo_file).latency_s,
        )
        self._admission = Admission(bounds, self._clock)

    async def start(self) -> None:
        """Start in order; photos are admitted when this returns. Raises BestiaryError, OSError, ValueError."""
        settings = self._settings
        refuse_open_bind(settings)
        self._tls = tls_files(settings)
        self._guard = make_guard(settings, self._clock)
        open_audit_log(settings.audit_file)
        self._traces = open_traces(settings, VERSION)
        self._observe = self._traces.observer(self._metrics)
        headers, by_http = self._traces.headers, settings.triton_http_address
        self._triton = TritonClient(settings.triton_address, TritonHttp(by_http, headers) if by_http else None, headers)
        models = self._traces.models(self._triton)
        self._models = Models(settings, models, self._clock, self._metrics, lambda: self._admission.waiting > 0)
        journal_dir = journal_directory(settings.data_dir, settings.worker)
        self._journal = await FileJournal.open(
            journal_dir, self._clock, max_bytes=settings.journal_max_bytes, gather_s=GATHER_S
        )
        units_per_s = None if settings.store_ru_per_s is None else settings.store_ru_per_s / settings.workers
        self._budget = RequestUnitBudget(units_per_s, self._clock)
        self._store = await open_result_store(settings, on_charge=lambda _, units: self._budget.charge(units))
        self._blobs = await open_blobs(settings, self._clock)
        self._dead_letters = DeadLetterFile(settings.data_dir / "dead-letters.jsonl")
        self._siblings = SiblingJournals(settings.data_dir, journal_dir)
        self._drain = self._make_drain(self._journal)
        self._drain.start()
        adopted = orphans(settings.data_dir, settings.worker, settings.workers)
        self._adoption = Adoption(adopted, self._clock, self._make_drain)
        self._adoption.start()
        self._classifier = Classifier(
            inspect=read_header,
            model=self._models.router,
            blobs=self._blobs.store,
            journal=self._traces.journal(self._journal),
            clock=self._clock,
            observe=self._observe,
        )
        await self._models.start()
        self._service = self._compose_service()
        self._admission.start()
        self._grpc = await self._start_grpc()
        self._http, self._http_task = await self._start_http()
        self._worker_metrics = WorkerMetrics.of(settings, self._metrics, self._refresh_gauges)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        release = self._models.releases.status().champion or "(none yet)"
        log.info("serving release %s on http %d and grpc %d", release, self.http_port, self.grpc_port)

    async def stop(self) -> None:
        """Stop in order, inside ``drain_timeout_s``; see the module's docstring."""
        ends = self._clock.monotonic() + self._settings.drain_timeout_s

        def left_s() -> float:
            return max(0.1, ends - self._clock.monotonic())

        self._admission.stop()
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            await asyncio.wait_for(self._admission.idle(), left_s())
        except TimeoutError:
            log.error("%d photos were still in work at the limit and are given up", self._admission.inflight)
        await asyncio.gather(self._grpc.stop(grace=min(1.0, left_s())), self._stop_http())
        await self._classifier.close(left_s())
        await asyncio.gather(self._drain.close(left_s()), self._adoption.close(left_s()))
        await self._journal.close()
        await self._worker_metrics.close()
        await self._store.close()
        await self._blobs.store.close()
        await self._models.close()
        await self._triton.close()
        await self._guard.close()
        await self._traces.close()

    def _make_drain(self, journal: FileJournal) -> Drain:
        return Drain(
            journal,
            self._traces.store(self._store, self._settings.store),
            self._dead_letters,
            self._clock,
            concurrency=self._settings.drain_concurrency or (1 if self._settings.store is Store.SQLITE else 4),
            budget=self._budget,
        )

    def _compose_service(self) -> Service:
        finder = RecordFinder(self._journal, self._store, self._siblings, self._dead_letters)
        return Service(
            admission=self._admission,
            quotas=Quotas(self._clock, Quota(self._settings.quota_photos_per_minute, self._settings.quota_in_flight)),
            classifier=self._classifier,
            model=self._models.router,
            store=self._store,
            blobs=self._blobs.store,
            references=self._blobs.references,
            links=self._blobs.links,
            clock=self._clock,
            metrics=self._metrics,
            observe=self._observe,
            default_ack=self._settings.default_ack,
            find=finder.find,
            releases=self._models.releases,
            draining=lambda: self._drain.running,
            triton_status_file=self._settings.triton_status_file,
        )

    async def _start_grpc(self) -> grpc.aio.Server:
        tracing = self._traces.tracing
        server = grpc.aio.server(
            interceptors=(*((Traced(tracing),) if tracing else ()), Access(self._guard)),
            maximum_concurrent_rpcs=GRPC_CALLS * self._settings.max_inflight,
            options=(
                ("grpc.max_receive_message_length", GRPC_MESSAGE_ROOM * self._settings.max_photo_bytes),
                ("grpc.so_reuseport", int(self._settings.worker is not None)),
                ("grpc.max_allowed_incoming_connections", self._settings.max_connections),
                ("grpc.server_handshake_timeout_ms", int(self._settings.head_timeout_s * 1e3)),
                *keepalive_options(self._settings),
            ),
        )
        add_BestiaryServicer_to_server(BestiaryGrpc(self._service), server)
        add_GRPCInferenceServiceServicer_to_server(KServeGrpc(self._service, self._models.router, VERSION), server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        names = (
            bestiary_pb2.DESCRIPTOR.services_by_name["Bestiary"].full_name,
            service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
            health.SERVICE_NAME,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(names, server)
        address = f"{self._settings.host}:{self._settings.grpc_port}"
        try:
            if self._tls is None:
                self.grpc_port = server.add_insecure_port(address)
            else:
                self.grpc_port = server.add_secure_port(address, grpc_credentials(self._tls))
        except RuntimeError as error:
            raise OSError(
                f"gRPC cannot listen on {address}: stop what listens there or choose another port."
            ) from error
        await server.start()
        return server

    async def _start_http(self) -> tuple[uvicorn.Server, asyncio.Task[None]]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._settings.worker is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((self._settings.host, self._settings.http_port))
        self.http_port = listener.getsockname()[1]
        settings = self._settings
        options = HttpOptions(
            VERSION,
            settings.upload_timeout_s,
            settings.allowed_hosts,
            settings.cors_origins,
            is_loopback(settings.host),
            settings.metrics_open,
            self._tls is not None or settings.tls_terminated_by_proxy,
        )
        limits = ConnectionLimits(settings.max_connections, settings.head_timeout_s, settings.upload_timeout_s)
        context = None if self._tls is None else http_context(self._tls)
        config = uvicorn.Config(
            self._make_app(options),
            ssl_context_factory=None if context is None else lambda config, default: context,
            log_config=None,  # its loggers pass on to ours, which redacts
            http=bounded_http(limits),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=self._settings.http_keep_alive_s,
            server_header=False,
        )
        server = Listener(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn offers no event for it
            await asyncio.sleep(0.01)
        if context is not None and self._tls is not None:
            self._tls_watch = asyncio.create_task(keep_current(context, self._tls), name="tls")
        return server, task

    def _make_app(self, options: HttpOptions) -> FastAPI:
        tracing = self._traces.tracing
        return create_app(self._service, self._guard, self._metrics, self._refresh_gauges, options, tracing)

    async def _stop_http(self) -> None:
        self._http.should_exit = True
        await self._http_task
        if self._tls_watch is not None:
            self._tls_watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tls_watch

    def _refresh_gauges(self) -> None:
        metrics, journal = self._metrics, self._journal
        self._models.refresh()
        metrics.inflight.set(self._admission.inflight)
        metrics.inflight_limit.set(self._admission.limit)
        metrics.waiting.set(self._admission.waiting)
        metrics.undrained.set(journal.undrained_records + self._adoption.undrained_records)
        metrics.undrained_bytes.set(journal.undrained_bytes)
        metrics.journal_appended.set(journal.stats.appended_records)
        metrics.journal_fsyncs.set(journal.stats.groups)
        metrics.journal_failed.set(journal.stats.failed_groups)
        metrics.journal_refused.set(journal.stats.refused_records)
        metrics.drain_lag.set(journal.oldest_age_s)
        metrics.drain_in_flight.set(self._drain.stats.in_flight)
        metrics.drain_retries.set(self._drain.stats.retries)
        metrics.drain_stored.set(self._drain.stats.stored_records)
        metrics.store_units.set(self._budget.charged)
        metrics.dead_letters.set(self._drain.stats.dead_letters)


def keepalive_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Channel arguments (grpc_types.h) about pings and the age of connections.

    gRPC's own minimum between a client's pings is five minutes; clients behind a balancer with a shorter idle
    timeout ping every 10 to 60 s and would be hung up on.
    """

    def ms(seconds: float) -> int:
        return round(seconds * 1000)

    return (
        ("grpc.keepalive_time_ms", ms(settings.grpc_keepalive_s)),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", ms(settings.grpc_min_ping_interval_s)),
        ("grpc.max_connection_age_ms", ms(settings.grpc_max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", ms(settings.grpc_connection_grace_s)),
    )


async def serve(settings: Settings) -> None:
    """Run one gateway until SIGTERM or SIGINT, then drain. Raises as :meth:`Gateway.start`."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    gateway = Gateway(settings)
    await gateway.start()
    await stopping.wait()
    log.info("draining")
    stopped = asyncio.create_task(gateway.stop(), name="stop")
    done, _ = await asyncio.wait({stopped}, timeout=settings.drain_timeout_s + STOP_GRACE_S)
    if not done:
        # A disk or a thread that hangs would also hang an orderly exit. The journal is made for ends like this.
        log.critical("not stopped within the limit: ending all the same; the journal is drained at the next start")
        logging.shutdown()
        os._exit(1)
    stopped.result()
