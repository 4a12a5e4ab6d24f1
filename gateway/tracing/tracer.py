"""Spans of a photo's way: one for the request, one for each stage under it, one for the call to Triton, one for the
store. Context comes and goes as W3C Trace Context says (``traceparent``, ``tracestate``).

A stage is measured anyway, so its span is made when it is over and dated back. What goes into spans is listed here:
no file names, no queries, no credentials, no messages of errors.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contract.record import Record
from gateway.errors import BestiaryError

SERVICE: Final = "bestiary-gateway"
EXPORT_TIMEOUT_S: Final = 2
"""For one batch of spans; a collector that is away must not hold up the end of the process."""
SEND_EVERY_MS: Final = 1000
MAX_UNSTORED: Final = 10_000
"""Records whose trace is remembered until they are stored; the oldest are forgotten first."""

TRITON: Final = "triton"
"""The stage whose span is made beforehand, because Triton's own spans hang from it."""

Attributes = Mapping[str, str | int]

_current: ContextVar[Span | None] = ContextVar("bestiary_span", default=None)
_propagator: Final = TraceContextTextMapPropagator()


def exporter_to(url: str) -> SpanExporter:
    """Sends spans to the OTLP/HTTP collector at ``url``. Headers, e.g. of an account, come from the environment
    (``OTEL_EXPORTER_OTLP_HEADERS``)."""
    return OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)


class Tracing:
    """Makes spans and sends them in the background. One a process."""

    def __init__(self, exporter: SpanExporter, ratio: float, version: str, instance: str = "") -> None:
        """``ratio``: share of requests to trace where the caller has not decided; ``instance`` tells workers apart."""
        attributes = {"service.version": version} | ({"service.instance.id": instance} if instance else {})
        if "OTEL_SERVICE_NAME" not in os.environ:
            attributes["service.name"] = SERVICE
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create(attributes),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
        self._tracer = self._provider.get_tracer("bestiary", version)
        self._unstored: OrderedDict[UUID, Context] = OrderedDict()

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Iterator[Span]:
        """A request at an edge, with its headers by lower-case name. Everything inside belongs to its trace."""
        parent = _propagator.extract(headers, Context())
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        with self._as_current(span):
            yield span

    @contextmanager
    def call(self, name: str, attributes: Attributes) -> Iterator[None]:
        """A call to another server inside of a request; nothing outside of one."""
        parent = _current.get()
        if parent is None:
            yield
            return
        context = set_span_in_context(parent)
        span = self._tracer.start_span(name, context=context, kind=SpanKind.CLIENT, attributes=attributes)
        with self._as_current(span):
            yield

    @contextmanager
    def _as_current(self, span: Span) -> Iterator[None]:
        token = _current.set(span if span.is_recording() else None)
        try:
            yield
        except BestiaryError as error:
            self.failed(span, error.reason)
            raise
        except BaseException as error:
            self.failed(span, type(error).__name__)
            raise
        finally:
            _current.reset(token)
            span.end()

    def headers(self) -> dict[str, str]:
        """What makes a call that goes out now part of the current trace. Empty where there is none or it is not
        recorded: Triton records every request that has them, whatever their flags say."""
        span = _current.get()
        carrier: dict[str, str] = {}
        if span is not None:
            _propagator.inject(carrier, set_span_in_context(span))
        return carrier

    def stage(self, stage: str, seconds: float) -> None:
        """A stage of the current request has just ended, and took so long. As ``gateway.classify.StageObserver``."""
        parent = _current.get()
        if parent is None or stage == TRITON:
            return
        ended = time.time_ns()
        context = set_span_in_context(parent)
        self._tracer.start_span(stage, context=context, start_time=ended - round(seconds * 1e9)).end(ended)

    def made(self, record: Record) -> None:
        """The current request's record; it is remembered until :meth:`stored`. Those of a process that ends are
        forgotten, and their traces end with the journal."""
        span = _current.get()
        if span is None:
            return
        span.set_attribute("bestiary.record.id", str(record.id))
        span.set_attribute("bestiary.release", record.release)
        span.set_attribute("bestiary.tasks", record.tasks.value)
        self._unstored[record.id] = set_span_in_context(span)
        if len(self._unstored) > MAX_UNSTORED:
            self._unstored.popitem(last=False)

    def stored(self, records: list[UUID], seconds: float, attributes: Attributes) -> None:
        """A batch was stored in one write, which has just ended: a span in the trace of each of its records."""
        ended = time.time_ns()
        for record_id in records:
            context = self._unstored.pop(record_id, None)
            if context is not None:
                started = ended - round(seconds * 1e9)
                self._tracer.start_span(
                    "drain", context=context, kind=SpanKind.CLIENT, attributes=attributes, start_time=started
                ).end(ended)

    @staticmethod
    def failed(span: Span, reason: str) -> None:
        """Mark a span; ``reason`` is one of few words."""
        span.set_attribute("error.type", reason)
        span.set_status(Status(StatusCode.ERROR))

    def close(self) -> None:
        """Send what is left. Blocks for a few ``EXPORT_TIMEOUT_S`` at most."""
        self._provider.shutdown()
