"""All settings of the gateway, from the environment (``BESTIARY_...``) or from the composition root."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
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

    blobs: Literal["directory", "azure"] = "directory"
    """Where photos are kept: below ``data_dir``, or in Azure Blob Storage (needs the extra ``azure``)."""

    blob_account_url: str = ""
    """The storage account, ``https://NAME.blob.core.windows.net``, reached with the managed identity."""

    blob_connection_string: SecretStr | None = None
    """The storage account and its key instead; for the emulator, and where there is no managed identity."""

    blob_reference_containers: tuple[str, ...] = ("uploads", "datasets")
    """Containers whose photos callers may have classified by reference."""

    blob_link_ttl_s: float = Field(300.0, ge=1, le=86400)
    """How long a link to a photo in Blob Storage is good for, seconds."""

    blob_connect_timeout_s: float = Field(3.0, gt=0)
    """How long connecting to Blob Storage may take, seconds."""

    blob_read_timeout_s: float = Field(10.0, gt=0)
    """How long Blob Storage may be silent before a try is given up, seconds."""

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
