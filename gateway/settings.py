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
    """Photos being worked on at once, at most; how many of them are in Triton follows measured latency."""

    min_inflight: int = Field(4, ge=1)
    """Photos that may always be in Triton at once: one more than `animals` has instances keeps all of them busy."""

    max_waiting: int = Field(256, ge=1)
    """Photos that may wait for a place; each waits only if it will be answered in time."""

    slo_file: Path = Path(__file__).parent.parent / "deploy" / "slo" / "bestiary.yaml"
    """The service level objectives (OpenSLO); admission refuses what would not be answered within them."""

    max_held_bytes: int = Field(512 << 20, ge=1 << 20)
    """Bytes of photos in memory at once, half-uploaded ones included; one more is refused with a retry hint."""

    max_connections: int = Field(2048, ge=1)
    """Connections of each listener; one more is closed at once. An idle one costs about 30 kB."""

    head_timeout_s: float = Field(10.0, gt=0)
    """How long a new connection may take until its first request's head is there, seconds; also between requests."""

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
