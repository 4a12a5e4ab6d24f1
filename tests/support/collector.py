"""A collector of traces: takes OTLP over HTTP as protobuf, which the gateway sends, and as JSON, which Triton sends."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """One span."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    state: str
    started_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, str | int]


@dataclass
class Collector:
    """What has arrived at ``url``."""

    url: str
    spans: list[Seen] = field(default_factory=list)

    def wait(self, condition: Callable[[list[Seen]], bool], limit_s: float = 30) -> list[Seen]:
        """The spans, once ``condition`` holds of them."""
        ends = time.monotonic() + limit_s
        while not condition(list(self.spans)):
            if time.monotonic() > ends:
                pytest.fail(f"it never arrived; these did: {[(span.service, span.name) for span in self.spans]}")
            time.sleep(0.05)
        return list(self.spans)

    def add(self, export: dict[str, Any]) -> None:
        for resource in export.get("resourceSpans", ()):
            service = _attributes(resource["resource"]).get("service.name", "")
            for scope in resource["scopeSpans"]:
                self.spans += [_seen(str(service), span) for span in scope["spans"]]


def _seen(service: str, span: dict[str, Any]) -> Seen:
    return Seen(
        service, span["name"], span["traceId"], span["spanId"], span.get("parentSpanId", ""),
        span.get("traceState", ""), int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]),
        span.get("status", {}).get("code") in ("STATUS_CODE_ERROR", 2), _attributes(span),
    )  # fmt: skip


def _attributes(holder: dict[str, Any]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for attribute in holder.get("attributes", ()):
        ((kind, value),) = attribute["value"].items()
        found[attribute["key"]] = int(value) if kind == "intValue" else value
    return found


def _from_protobuf(body: bytes) -> dict[str, Any]:
    """In the words of OTLP's JSON, where ids are hexadecimal and not base64 as protobuf's JSON has bytes."""
    message = ExportTraceServiceRequest.FromString(body)
    export: dict[str, Any] = MessageToDict(message)
    for there, resource in zip(message.resource_spans, export["resourceSpans"], strict=True):
        for scope, made in zip(there.scope_spans, resource["scopeSpans"], strict=True):
            for span, shown in zip(scope.spans, made["spans"], strict=True):
                shown |= {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}
                shown["parentSpanId"] = span.parent_span_id.hex()
    return export


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Listens on a free port until the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                is_json = self.headers["content-type"].startswith("application/json")
                collector.add(json.loads(body) if is_json else _from_protobuf(body))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
