"""Sizes of machines and what they, the store and the blobs cost: a small table with its date, which may be replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planning.errors import BadInput

SHIPPED: Final = Path(__file__).parent / "skus.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sku(_Part):
    """One size of machine."""

    cores: int = Field(ge=1)
    """As its operating system counts them (vCPU)."""
    physical_cores: int = Field(ge=1)
    gpu: str | None
    per_hour: float = Field(ge=0)


class Store(_Part):
    """Cosmos DB with provisioned throughput."""

    request_units_per_write: float = Field(gt=0)
    """Of one record, upserted in a batch (docs/decisions/0014): assumed, as no account was measured."""
    catalogue_units_per_day: float = Field(ge=0)
    headroom: float = Field(ge=1)
    """Provisioned over needed: batches come unevenly, and reading takes its share."""
    step_units_per_s: int = Field(ge=1)
    per_100_units_hour: float = Field(ge=0)
    document_overhead_bytes: int = Field(ge=0)
    """What the envelope and the index add to a record."""
    per_gb_month: float = Field(ge=0)


class Blobs(_Part):
    """Photos in Blob Storage."""

    per_10000_writes: float = Field(ge=0)
    per_gb_month: float = Field(ge=0)


class Prices(_Part):
    """The table."""

    currency: str
    date: str
    source: str
    note: str
    skus: dict[str, Sku]
    store: Store
    blobs: Blobs
    months_kept: float = Field(ge=0)
    """How long photos and records are paid for."""

    def sku(self, name: str) -> Sku:
        """Raises BadInput for a name that is not in the table."""
        found = self.skus.get(name)
        if found is None:
            raise BadInput(f"{name} is not in the table of prices, which has {', '.join(sorted(self.skus))}.")
        return found


def read_prices(path: Path = SHIPPED) -> Prices:
    """A table of prices. Raises BadInput."""
    try:
        return Prices.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"The prices {path} cannot be read ({error.strerror}).") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(f"{path} is no table of prices: {where}: {first['msg']}. Begin with {SHIPPED.name}.") from None
