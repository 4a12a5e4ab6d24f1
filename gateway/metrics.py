"""Every metric the gateway exposes: kind, unit, labels, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; 0.25 is the SLO."""


class Metrics:
    """One registry per gateway, so that tests and several gateways in a process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.exposition: Callable[[], bytes] = lambda: generate_latest(self.registry)
        """What a scrape gets, Prometheus text; of all workers where there are several."""
        # Rate by outcome. A rising share of an error reason: look that reason up in gateway/errors.py.
        self.photos = Counter(
            "bestiary_photos",
            "Photos answered, by edge and outcome (ok or the error's reason).",
            ["edge", "outcome"],
            registry=self.registry,
        )
        # Seconds from the last byte received to the answer. p99 of interactive species above the SLO
        # (deploy/slo/bestiary.yaml): admission sheds too late, look at the stages.
        self.latency = Histogram(
            "bestiary_photo_latency_seconds",
            "Seconds from a whole photo received to its record, by task and priority.",
            ["task", "priority"],
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        # Seconds by stage of admitted photos: tells which part to scale.
        self.stage = Histogram(
            "bestiary_stage_seconds",
            "Seconds by stage: edge (request read), wait (for a place), fetch (of a referred photo), triton, blob, "
            "journal, store.",
            ["stage"],
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._of_stage = cache(self.stage.labels)
        # Photos in work, and how many may be in Triton at once. The limit falls when Triton is slow and rises to
        # max_inflight when it is not: a limit at its least with photos waiting means more replicas.
        self.inflight = Gauge("bestiary_inflight_photos", "Photos being worked on.", registry=self.registry)
        self.inflight_limit = Gauge(
            "bestiary_inflight_limit_photos", "Photos that may be in Triton at once, now.", registry=self.registry
        )
        # Always above 0: more is asked for than can be answered; outcome overloaded says how much.
        self.waiting = Gauge("bestiary_waiting_photos", "Photos that wait for a place.", registry=self.registry)
        # Records acknowledged and not in the store yet. Growing: the store is slow or away.
        self.undrained = Gauge(
            "bestiary_journal_undrained_records", "Records not in the store yet.", registry=self.registry
        )
        self.undrained_bytes = Gauge(
            "bestiary_journal_undrained_bytes", "Bytes of those records.", registry=self.registry
        )
        # Rises a second a second while the store is away: look at it. Records older than this are in the store.
        self.drain_lag = Gauge(
            "bestiary_drain_lag_seconds", "Age of the oldest record not in the store yet.", registry=self.registry
        )
        # At drain_concurrency all the time, and the lag grows: raise it, or the store's throughput.
        self.drain_in_flight = Gauge(
            "bestiary_drain_batches_in_flight", "Batches being written to the store.", registry=self.registry
        )
        # Rising: the store throttles or fails; the log says which.
        self.drain_retries = Gauge(
            "bestiary_drain_retries", "Waits for the store or the dead-letter file since start.", registry=self.registry
        )
        self.drain_stored = Gauge(
            "bestiary_drain_stored_records", "Records moved to the store since start.", registry=self.registry
        )
        # Its rate against store_ru_per_s: how much of the budget is used.
        self.store_units = Gauge(
            "bestiary_store_request_units", "Request units charged by the store since start.", registry=self.registry
        )
        # fsyncs / appended shows group commit at work: well below 1 under load.
        self.journal_appended = Gauge(
            "bestiary_journal_appended_records", "Records appended since start.", registry=self.registry
        )
        self.journal_fsyncs = Gauge("bestiary_journal_fsyncs", "fsync calls since start.", registry=self.registry)
        # Above 0: the disk is full or broken (failed), or the store so far behind that the bound is reached (refused).
        self.journal_failed = Gauge(
            "bestiary_journal_failed_groups", "Groups that could not be written since start.", registry=self.registry
        )
        self.journal_refused = Gauge(
            "bestiary_journal_refused_records", "Records refused at the bound since start.", registry=self.registry
        )
        # Anything above 0: read dead-letters in the data directory, mend, write again.
        self.dead_letters = Gauge(
            "bestiary_dead_letters", "Records the store refused for good, since start.", registry=self.registry
        )
        # Which release is in which role, 1 each: champion, challenger, previous. Gateways that differ for longer than a
        # few seconds: one does not reach the model store, or a model server there has not loaded the release.
        self.release = Gauge("bestiary_release_info", "Releases by role.", ["release", "role"], registry=self.registry)
        # Photos that a release under watch was asked about: ok, error (it failed, another release answered), away (not
        # loaded there, or no room). Errors past the release's bounds roll it back by themselves.
        self.release_photos = Counter(
            "bestiary_release_photos",
            "Photos of callers that a release in canary or on probation was asked about.",
            ["release", "stage", "outcome"],
            registry=self.registry,
        )
        # dropped: callers had the room, or the challenger is away. Mostly dropped: shadow at a quieter hour.
        self.shadow_photos = Counter(
            "bestiary_shadow_photos",
            "Copies for the challenger: dropped, failed, unsure (nothing to compare with), agreed, disagreed.",
            ["outcome"],
            registry=self.registry,
        )
        # Above 0: a release was rolled back by itself; `bestiary releases status` has the reason.
        self.breaches = Counter(
            "bestiary_release_breaches", "Bounds of a release that this gateway saw broken.", ["bound"],
            registry=self.registry,
        )  # fmt: skip
        # Growing: the model store is away. What was in force stays in force.
        self.state_age = Gauge(
            "bestiary_rollout_state_age_seconds", "Since the rollout's state was last read.", registry=self.registry
        )

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Count one photo's time in a stage."""
        self._of_stage(stage).observe(seconds)
