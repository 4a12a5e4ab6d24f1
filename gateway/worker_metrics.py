"""Metrics of several workers behind one port: whichever is scraped answers for all.

Each worker writes its own text to a file every few seconds; the scraped one adds the others' files to its
own numbers, every sample labelled with its worker. So counters never seem to jump back from scrape to
scrape. The library's own multiprocess mode does not fit: it sums gauges that only the scraped process has brought
up to date, and keeps the files of dead processes for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.metrics import Metrics
from gateway.settings import Settings

PUBLISH_EVERY_S: Final = 2.0
"""How old another worker's numbers may be; also the sign of life that the supervisor looks for."""

_log = logging.getLogger(__name__)


def run_directory(data_dir: Path) -> Path:
    """Where the processes of one gateway leave word for each other."""
    return data_dir / "run"


def metrics_file(data_dir: Path, worker: int) -> Path:
    """The text of one worker."""
    return run_directory(data_dir) / f"metrics-{worker}.prom"


def workers_file(data_dir: Path) -> Path:
    """What the supervisor says: ``{"workers": n, "running": n, "restarts": n}``."""
    return run_directory(data_dir) / "workers.json"


def replace_text(path: Path, text: bytes) -> None:
    """Put ``text`` at ``path``, whole or not at all; not durable. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_bytes(text)
    scratch.replace(path)


class WorkerMetrics:
    """Publishes one worker's metrics and merges those of all. Does nothing for a gateway that is alone."""

    def __init__(
        self, data_dir: Path, worker: int, workers: int, metrics: Metrics, refresh: Callable[[], None]
    ) -> None:
        self._data_dir = data_dir
        self._worker = worker
        self._workers = workers
        self._metrics = metrics
        self._refresh = refresh
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics, refresh: Callable[[], None]) -> WorkerMetrics:
        """Started, if ``settings`` say that this process is one of several workers."""
        made = cls(settings.data_dir, settings.worker or 0, settings.workers, metrics, refresh)
        if settings.worker is not None:
            metrics.exposition = made.exposition
            made._task = asyncio.create_task(made._publish(), name="worker-metrics")
        return made

    def exposition(self) -> bytes:
        """Prometheus text of all workers, each sample with the label ``worker``."""
        texts = {self._worker: generate_latest(self._metrics.registry).decode()}
        for worker in range(self._workers):
            if worker != self._worker:
                with contextlib.suppress(OSError):  # it has not published yet
                    texts[worker] = metrics_file(self._data_dir, worker).read_text()
        return merged(texts, _supervisor_families(workers_file(self._data_dir)))

    async def close(self) -> None:
        """Publish no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _publish(self) -> None:
        path = metrics_file(self._data_dir, self._worker)
        while True:
            self._refresh()
            try:
                await asyncio.to_thread(replace_text, path, generate_latest(self._metrics.registry))
            except OSError as error:
                _log.debug("the metrics file cannot be written: %s", error)
                with contextlib.suppress(OSError):
                    os.utime(path)  # the disk is full, but this process is alive
            await asyncio.sleep(PUBLISH_EVERY_S)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def merged(texts: dict[int, str], more: Iterable[Metric] = ()) -> bytes:
    """One text of several workers' texts, by worker, and ``more`` families. Pieces that cannot be parsed are left
    out."""
    families: dict[str, Metric] = {}
    for worker, text in sorted(texts.items()):
        try:
            parsed = list(text_string_to_metric_families(text))
        except ValueError:
            _log.warning("the metrics of worker %d cannot be read", worker)
            continue
        for family in parsed:
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            into.samples += [
                sample._replace(labels={**sample.labels, "worker": str(worker)}) for sample in family.samples
            ]
    registry = CollectorRegistry()
    registry.register(_Families([*families.values(), *more]))
    return generate_latest(registry)


def _supervisor_families(path: Path) -> list[Metric]:
    try:
        said = json.loads(path.read_text())
        return [
            # Below bestiary_workers for long: a worker does not come up again; the log says why.
            GaugeMetricFamily("bestiary_workers", "Workers that there should be.", said["workers"]),
            GaugeMetricFamily("bestiary_workers_running", "Workers that run.", said["running"]),
            GaugeMetricFamily("bestiary_worker_restarts", "Workers started again since start.", said["restarts"]),
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
