"""Request units, and what a million photos cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from planning.curves import Curves, Profile
from planning.prices import Prices, Sku

MILLION: Final = 1_000_000
GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class StoreNeeds:
    """The result store at a steady rate."""

    units_per_write: float
    units_per_s: float
    """Spent."""
    provisioned_units_per_s: int
    """To be bought: spent, with headroom, in the steps that are sold."""
    drained_per_s: float
    """Records a second that the provisioned units take: above the rate, so journals stay short."""
    backlog_s: float
    """How long the journals take to drain what an outage of the store of one minute left behind, seconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a million photos at the planned rate all day, in the currency of the table."""

    nodes: float
    store_units: float
    store_bytes: float
    blob_writes: float
    blob_bytes: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.nodes + self.store_units + self.store_bytes + self.blob_writes + self.blob_bytes


def store_needs(per_s: float, prices: Prices) -> StoreNeeds:
    """Request units for ``per_s`` records a second."""
    store = prices.store
    spent = per_s * store.request_units_per_write + store.catalogue_units_per_day / 86400
    bought = store.step_units_per_s * math.ceil(store.headroom * spent / store.step_units_per_s)
    drained = bought / store.request_units_per_write
    return StoreNeeds(
        units_per_write=store.request_units_per_write,
        units_per_s=spent,
        provisioned_units_per_s=bought,
        drained_per_s=drained,
        backlog_s=60 * per_s / (drained - per_s) if drained > per_s else math.inf,
    )


def cost(per_s: float, nodes: int, sku: Sku, curves: Curves, profile: Profile, prices: Prices) -> Cost:
    """Of a million photos that come at ``per_s``."""
    hours = MILLION / per_s / 3600
    record_gb = (curves.record_bytes + prices.store.document_overhead_bytes) * MILLION / GB
    photo_gb = profile.photo_bytes * MILLION / GB
    units = store_needs(per_s, prices).provisioned_units_per_s
    return Cost(
        nodes=nodes * sku.per_hour * hours,
        store_units=units / 100 * prices.store.per_100_units_hour * hours,
        store_bytes=record_gb * prices.store.per_gb_month * prices.months_kept,
        blob_writes=MILLION / 1e4 * prices.blobs.per_10000_writes,
        blob_bytes=photo_gb * prices.blobs.per_gb_month * prices.months_kept,
    )
