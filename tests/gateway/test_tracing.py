"""Which requests are traced, what hangs from what, and that a gateway without a collector has nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contract.record import Record
from gateway.errors import Overloaded
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.tracing import tracer
from gateway.tracing.setup import Traces, open_traces
from gateway.tracing.tracer import Tracing
from tests.support.stack import ROOT

SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
NOT_SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}


class Kept:
    """A tracer and what it has sent."""

    def __init__(self, ratio: float) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(self._exporter, ratio, "1")

    def spans(self) -> dict[str, ReadableSpan]:
        self.tracing._provider.force_flush()
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def kept() -> Iterator[Callable[[float], Kept]]:
    made: list[Kept] = []

    def make(ratio: float) -> Kept:
        made.append(Kept(ratio))
        return made[-1]

    yield make
    for one in made:
        one.tracing.close()


@pytest.mark.parametrize(
    ("ratio", "headers", "traced"),
    [(0, {}, False), (1, {}, True), (0, SAMPLED, True), (1, NOT_SAMPLED, False), (1, {"traceparent": "junk"}, True)],
)
def test_the_caller_decides_else_the_ratio(
    kept: Callable[[float], Kept], ratio: float, headers: dict[str, str], traced: bool
) -> None:
    one = kept(ratio)
    with one.tracing.request("GET", headers, {}):
        one.tracing.stage("wait", 0.25)
        assert bool(one.tracing.headers()) is traced  # Triton records whatever has them
        with one.tracing.call("infer animals", {}):
            pass
    assert set(one.spans()) == ({"GET", "wait", "infer animals"} if traced else set())


def test_a_stage_is_dated_back_under_its_request(kept: Callable[[float], Kept]) -> None:
    one = kept(1)
    with one.tracing.request("POST", SAMPLED, {}):
        one.tracing.stage("wait", 0.25)
    spans = one.spans()
    wait, request = spans["wait"], spans["POST"]
    assert wait.parent is not None and request.context is not None and wait.parent.span_id == request.context.span_id
    assert wait.end_time is not None and wait.start_time is not None
    assert wait.end_time - wait.start_time == 250_000_000


def test_nothing_happens_outside_of_a_request(kept: Callable[[float], Kept]) -> None:
    one = kept(1)
    one.tracing.stage("wait", 0.25)
    with one.tracing.call("infer animals", {}):
        assert one.tracing.headers() == {}
    assert one.spans() == {}


def test_an_error_is_a_word_and_no_message(kept: Callable[[float], Kept]) -> None:
    one = kept(1)
    with pytest.raises(Overloaded), one.tracing.request("POST", {}, {}):
        raise Overloaded("the photo of /home/ranger/secret.jpg")
    span = one.spans()["POST"]
    assert span.attributes is not None and span.attributes["error.type"] == Overloaded("").reason
    assert "secret" not in span.to_json()


def test_records_are_remembered_until_they_are_stored(
    kept: Callable[[float], Kept], make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracer, "MAX_UNSTORED", 2)
    one, records = kept(1), [make_record() for _ in range(3)]
    for number, record in enumerate(records):
        with one.tracing.request(f"request {number}", {}, {}):
            one.tracing.made(record)
    one.tracing.stored([record.id for record in records] + [uuid4()], 0.01, {"db.system.name": "sqlite"})
    one.tracing._provider.force_flush()
    drained = [span for span in one._exporter.get_finished_spans() if span.name == "drain"]
    asked = one.spans()["request 2"]
    assert len(drained) == 2  # the oldest was forgotten
    assert drained[-1].context is not None and asked.context is not None
    assert drained[-1].context.trace_id == asked.context.trace_id


def test_a_gateway_without_a_collector_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    traces = open_traces(Settings(), "1")
    metrics = Metrics()
    assert traces.tracing is None and traces.headers is None
    assert traces.observer(metrics) == metrics.observe_stage


def test_the_sdk_is_not_loaded_for_nothing() -> None:
    look = "import sys, gateway.server; sys.exit('opentelemetry.sdk.trace' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://collector", "http://"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="BESTIARY_TRACES_URL must be the address"):
        open_traces(Settings(traces_url=url), "1")


def test_the_standard_variable_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "no address")
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        open_traces(Settings(), "1")
    assert Traces(None).headers is None
