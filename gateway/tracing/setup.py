"""Whether traces are sent, where, and what that means for the parts of a gateway: nothing where they are not."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.classify import StageObserver
from gateway.metrics import Metrics
from gateway.ports import Journal, ResultStore, TensorServer
from gateway.settings import Settings
from gateway.tracing.ports import TracedJournal, TracedModels, TracedStore
from gateway.triton.http import Trace

if TYPE_CHECKING:
    from gateway.tracing.tracer import Tracing

STANDARD_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Of the OpenTelemetry specification; counts where our own setting is empty."""

_SYSTEMS: Final = {"sqlite": "sqlite", "cosmos": "azure.cosmosdb"}
"""Result stores as ``db.system.name`` has them."""


class Traces:
    """Gives each part back as it is, or with a trace through it."""

    def __init__(self, tracing: Tracing | None) -> None:
        self.tracing = tracing

    @property
    def headers(self) -> Trace | None:
        """What says to Triton which trace a call belongs to."""
        return None if self.tracing is None else self.tracing.headers

    def models(self, models: TensorServer) -> TensorServer:
        """``models``, its calls spans."""
        return models if self.tracing is None else TracedModels(models, self.tracing)

    def journal(self, journal: Journal) -> Journal:
        """``journal``, which remembers whose trace a record belongs to."""
        return journal if self.tracing is None else TracedJournal(journal, self.tracing)

    def store(self, store: ResultStore, kind: str) -> ResultStore:
        """``store``, its writes spans. ``kind`` is a ``gateway.settings.Store``."""
        return store if self.tracing is None else TracedStore(store, self.tracing, _SYSTEMS[kind])

    def observer(self, metrics: Metrics) -> StageObserver:
        """Takes the time of each stage."""
        tracing = self.tracing
        if tracing is None:
            return metrics.observe_stage

        def observe(stage: str, seconds: float) -> None:
            metrics.observe_stage(stage, seconds)
            tracing.stage(stage, seconds)

        return observe

    async def close(self) -> None:
        """Send what is left."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def open_traces(settings: Settings, version: str) -> Traces:
    """Traces as the settings say. Raises ValueError."""
    name = "BESTIARY_TRACES_URL" if settings.traces_url else STANDARD_ENDPOINT
    url = settings.traces_url or os.environ.get(STANDARD_ENDPOINT, "")
    if not url:
        return Traces(None)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} must be the address of an OTLP/HTTP collector, e.g. http://127.0.0.1:4318.")
    from gateway.tracing.tracer import Tracing, exporter_to  # where it is off nothing of it is loaded

    instance = "" if settings.worker is None else f"worker-{settings.worker}"
    return Traces(Tracing(exporter_to(url), settings.traces_ratio, version, instance))
