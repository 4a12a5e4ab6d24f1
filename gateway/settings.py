"""All settings of the gateway, from the environment (``BESTIARY_...``) or from the composition root."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.preprocessing import MAX_PHOTO_BYTES
from contract.record import AckLevel


class Store(StrEnum):
    """Implementations of the ResultStore port."""

    SQLITE = "sqlite"
    COSMOS = "cosmos"


Consistency = Literal["Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"]
"""Cosmos DB's levels, strongest first."""


class Settings(BaseSettings):
    """One gateway process. Every field can be set as ``BESTIARY_<FIELD>`` in upper case."""

    model_config = SettingsConfigDict(env_prefix="BESTIARY_", frozen=True)

    host: str = "127.0.0.1"
    """Address of both listeners. Only loopback is accepted until credentials can be configured."""

    http_port: int = Field(8080, ge=0, le=65535)
    """HTTP: REST, KServe v2, health, metrics. 0 takes a free port."""

    grpc_port: int = Field(8081, ge=0, le=65535)
    """gRPC: bestiary.v1, KServe v2, health, reflection. 0 takes a free port."""

    triton_address: str = "127.0.0.1:8001"
    """gRPC address of Triton."""

    triton_status_file: Path | None = None
    """Where the supervisor of a local Triton says what it is doing; readiness repeats it."""

    release_dir: Path = Path("model_repository/animals/1")
    """Folder with the manifest and the taxonomy of the release that Triton serves."""

    data_dir: Path = Path("var/data")
    """Journal, result store and photos of the embedded storage."""

    store: Store = Store.SQLITE
    """Where records are kept: ``sqlite`` (in ``data_dir``) or ``cosmos`` (Azure Cosmos DB; the journal stays here)."""

    cosmos_endpoint: str = ""
    """``https://ACCOUNT.documents.azure.com:443/``; plain http only on loopback."""

    cosmos_key: SecretStr | None = None
    """Account key; without one the managed identity signs."""

    cosmos_database: str = "bestiary"
    """Made if it is missing and the credentials may."""

    cosmos_container: str = "records"
    """Made if it is missing and the credentials may."""

    cosmos_preferred_locations: tuple[str, ...] = ()
    """Regions to read from, nearest first, as a JSON list; empty takes the account's order."""

    cosmos_multiple_write_locations: bool = False
    """Whether to write to the nearest region too; the account must be set up for it."""

    cosmos_endpoint_discovery: bool = True
    """Ask the account for its regions and follow when it fails over; off where only one address is reachable."""

    cosmos_consistency: Consistency | None = "Session"
    """Consistency of reads, at most the account's; ``null`` takes the account's."""

    cosmos_ttl_s: int | None = Field(None, ge=1)
    """Seconds until a record expires; none keeps it. Read when the container is made."""

    cosmos_timeout_s: float = Field(10.0, gt=0)
    """To connect and for each read, seconds."""

    cosmos_concurrency: int = Field(8, ge=1)
    """Requests to Cosmos DB at once."""

    max_photo_bytes: int = Field(MAX_PHOTO_BYTES, ge=1024)
    """A larger photo is refused, as soon as its size is known."""

    max_inflight: int = Field(64, ge=1)
    """Photos being worked on at once; one more is refused with a retry hint. About a second's work for two cores."""

    max_held_bytes: int = Field(512 << 20, ge=1 << 20)
    """Bytes of photos in memory at once, half-uploaded ones included; one more is refused with a retry hint."""

    upload_timeout_s: float = Field(60.0, gt=0)
    """How long a body may take to arrive, seconds."""

    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """Names in the Host header that are served, so that no web page elsewhere can read results by renaming itself."""

    default_timeout_s: float = Field(10.0, gt=0)
    """Deadline of a caller that gives none, seconds."""

    max_timeout_s: float = Field(60.0, gt=0)
    """Longest deadline that is honoured, seconds."""

    default_ack: AckLevel = AckLevel.DURABLE
    """Ack level of a caller that names none."""

    drain_timeout_s: float = Field(20.0, gt=0)
    """How long shutdown waits for admitted photos and for the journal to drain, seconds."""

    journal_max_bytes: int = Field(1 << 30, ge=1 << 20)
    """Undrained journal bytes past which new photos are refused."""

    log_level: str = "info"
    """debug, info, warning or error."""
