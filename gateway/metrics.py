"""Every metric the gateway exposes: kind, unit, labels, and what an operator does about it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; 0.25 is the SLO."""


class Metrics:
    """One registry per gateway, so that tests and several gateways in a process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Rate by outcome. A rising share of an error reason: look that reason up in gateway/errors.py.
        self.photos = Counter(
            "bestiary_photos",
            "Photos answered, by edge and outcome (ok or the error's reason).",
            ["edge", "outcome"],
            registry=self.registry,
        )
        # Seconds from the last byte received to the answer. p99 above 0.25: scale Triton or shed load.
        self.latency = Histogram(
            "bestiary_photo_latency_seconds",
            "Seconds from a whole photo received to its record.",
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        # Seconds by stage of admitted photos: tells which part to scale.
        self.stage = Histogram(
            "bestiary_stage_seconds",
            "Seconds by stage: fetch (of a referred photo), triton, blob, journal.",
            ["stage"],
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        # Photos in work. At max_inflight new ones are refused: add replicas.
        self.inflight = Gauge("bestiary_inflight_photos", "Photos being worked on.", registry=self.registry)
        # Records acknowledged and not in the store yet. Growing: the store is slow or away.
        self.undrained = Gauge(
            "bestiary_journal_undrained_records", "Records not in the store yet.", registry=self.registry
        )
        self.undrained_bytes = Gauge(
            "bestiary_journal_undrained_bytes", "Bytes of those records.", registry=self.registry
        )
        # fsyncs / appended shows group commit at work: well below 1 under load.
        self.journal_appended = Gauge(
            "bestiary_journal_appended_records", "Records appended since start.", registry=self.registry
        )
        self.journal_fsyncs = Gauge("bestiary_journal_fsyncs", "fsync calls since start.", registry=self.registry)
        # Anything above 0: read dead-letters in the data directory, mend, write again.
        self.dead_letters = Gauge(
            "bestiary_dead_letters", "Records the store refused for good, since start.", registry=self.registry
        )
