"""All settings of the gateway, from the environment (``BESTIARY_...``) or from the composition root."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.preprocessing import MAX_PHOTO_BYTES
from contract.record import AckLevel
from gateway.auth.principal import Scope


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
    """Address of both listeners. Any but loopback needs credentials and TLS, see below."""

    http_port: int = Field(8080, ge=0, le=65535)
    """HTTP: REST, KServe v2, health, metrics. 0 takes a free port."""

    grpc_port: int = Field(8081, ge=0, le=65535)
    """gRPC: bestiary.v1, KServe v2, health, reflection. 0 takes a free port."""

    triton_address: str = "127.0.0.1:8001"
    """gRPC address of Triton."""

    triton_http_address: str = ""
    """HTTP address of the same Triton, ``host:port``: photos are sent there, which costs less. Empty: by gRPC."""

    triton_status_file: Path | None = None
    """Where the supervisor of a local Triton says what it is doing; readiness repeats it."""

    release_dir: Path = Path("model_repository/animals/1")
    """Folder with the manifest and the taxonomy of the release that Triton serves, where no rollout is followed."""

    model_store: str = ""
    """The model store whose rollout is followed: a directory, or ``https://ACCOUNT.blob.core.windows.net`` (needs the
    extra ``azure``). Empty: the release in ``release_dir``, for good."""

    model_poll_s: float = Field(0.5, gt=0)
    """How often the rollout's state is read, seconds: how soon a promotion or a rollback is heard of here."""

    gateway_name: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    """What this process signs its reports to the model store with, one of a kind; by default host and port. Workers
    add their slot."""

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

    # Who may (docs/security.md). Without any of tenants, keys and certificates everybody on loopback may everything.

    entra_tenants: tuple[str, ...] = ()
    """Entra ID: ids of the tenants whose tokens are taken, as a JSON list. None: no bearer tokens."""

    entra_audiences: tuple[str, ...] = ()
    """Entra ID: audiences that are this service, i.e. its application id and its ``api://`` URI."""

    entra_issuers: tuple[str, ...] = ("https://login.microsoftonline.com/{tenantid}/v2.0",)
    """Issuers of tokens; ``{tenantid}`` stands for the token's tenant. Version 1 tokens have
    ``https://sts.windows.net/{tenantid}/``."""

    entra_jwks_url: str = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
    """Where the issuer publishes its signing keys. https, or http on loopback."""

    api_keys_file: Path | None = None
    """API keys made by ``bestiary keys``; read again when it changes."""

    api_keys: SecretStr | None = None
    """The content of such a file instead of a file, e.g. as a ``keyvault:`` reference."""

    api_key_pepper: SecretStr = SecretStr("")
    """Key of the digests of API keys; the same for ``bestiary keys create`` and here."""

    client_certificate_scopes: tuple[Scope, ...] = ()
    """What callers may do who are known by their client certificate alone. None: certificates name nobody."""

    client_certificate_tenant: str = "certificate"
    """Tenant of those callers."""

    tls_certificate_file: Path | None = None
    """PEM, with intermediates. Both listeners speak only TLS then; read again when it changes."""

    tls_key_file: Path | None = None
    """PEM, not encrypted."""

    tls_client_ca_file: Path | None = None
    """PEM of the CAs that client certificates must be of. Without it nobody is asked for one."""

    tls_client_certificates: Literal["required", "optional"] = "required"
    """``optional`` lets callers without a certificate in; gRPC then does not ask for one at all."""

    tls_terminated_by_proxy: bool = False
    """TLS ends at a proxy in front of this process, on a network that nobody else can listen on."""

    metrics_open: bool = False
    """Whether ``/metrics`` answers without credentials; else it needs the scope ``read``."""

    cors_origins: tuple[str, ...] = ()
    """Origins, e.g. ``https://park.example``, whose pages may call this service from a browser."""

    quota_photos_per_minute: int | None = Field(None, ge=1)
    """Photos that one owner may send within a minute to this process; an API key may have its own. None: no limit."""

    quota_in_flight: int | None = Field(None, ge=1)
    """Photos that one owner may have in work at once in this process; an API key may have its own."""

    audit_file: Path | None = None
    """Where audit lines go; standard error without it."""

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

    traces_url: str = ""
    """Where traces are sent: an OTLP/HTTP collector, e.g. ``http://127.0.0.1:4318``. Empty: where the environment's
    ``OTEL_EXPORTER_OTLP_ENDPOINT`` says; nowhere without it."""

    traces_ratio: float = Field(1.0, ge=0, le=1)
    """Share of photos to trace. A caller who sends ``traceparent`` has decided already."""

    log_level: str = "info"
    """debug, info, warning or error."""
