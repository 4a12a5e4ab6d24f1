"""All settings of the gateway, from the environment (``BESTIARY_...``) or from the composition root."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.preprocessing import MAX_PHOTO_BYTES
from contract.record import AckLevel


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

    drain_concurrency: int | None = Field(None, ge=1)
    """Batches on their way to the result store at once. By default 1 for SQLite, which has one writer."""

    store_ru_per_s: float | None = Field(None, gt=0)
    """Request units that this gateway may spend on the result store, a second; no limit by default. Workers get
    equal shares."""

    workers: int = Field(1, ge=1, le=64)
    """Gateway processes on the same ports, each with a journal of its own. Other limits here count per worker."""

    worker: int | None = Field(None, ge=0)
    """Slot of this process among the workers; the supervisor of the workers sets it."""

    http_keep_alive_s: int = Field(250, ge=1)
    """How long an idle HTTP connection is kept, seconds: longer than the balancer in front keeps it (Azure: 240)."""

    grpc_keepalive_s: float = Field(120.0, gt=0)
    """Silence after which the server pings a gRPC client, seconds; half of Azure's idle timeout."""

    grpc_min_ping_interval_s: float = Field(5.0, gt=0)
    """Clients may ping this often, seconds, calls or none; more often is answered with ``too_many_pings``."""

    grpc_max_connection_age_s: float = Field(1800.0, gt=0)
    """Age at which a gRPC connection is asked to be replaced, seconds, so that balancers can spread clients anew."""

    grpc_connection_grace_s: float = Field(600.0, gt=0)
    """How long calls on such a connection may still last, seconds: the longest stream that is sure not to be cut."""

    log_level: str = "info"
    """debug, info, warning or error."""
