"""Options of the Cosmos DB store and the SDK's client made from them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from azure.cosmos import documents
from azure.cosmos.aio import CosmosClient
from azure.identity.aio import DefaultAzureCredential
from pydantic import SecretStr

from gateway.settings import Consistency


@dataclass(frozen=True, slots=True)
class CosmosOptions:
    """Where the records are and how to speak to them. Raises ValueError for an endpoint that is none."""

    endpoint: str
    """``https://ACCOUNT.documents.azure.com:443/``; plain http only on loopback."""
    key: SecretStr | None = None
    """Account key; None takes the managed identity (or whatever else DefaultAzureCredential finds)."""
    database: str = "bestiary"
    container: str = "records"
    preferred_locations: tuple[str, ...] = ()
    """Regions in the order to read from (and to write to, with ``multiple_write_locations``)."""
    multiple_write_locations: bool = False
    """Whether the account takes writes in every region."""
    endpoint_discovery: bool = True
    """Ask the account for its regions, and follow when it fails over."""
    consistency: Consistency | None = "Session"
    """None takes the account's. Only weaker than the account's is possible."""
    ttl_s: int | None = None
    """Records expire so many seconds after they are written; None keeps them. Read when the container is made."""
    timeout_s: float = 10.0
    """To connect and for each read, seconds."""
    concurrency: int = 8
    """Requests to the service at once."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("The Cosmos DB endpoint is no URL. Give one as https://ACCOUNT.documents.azure.com:443/.")
        if parts.scheme == "http" and not _loopback(parts.hostname):
            raise ValueError(f"The Cosmos DB endpoint {parts.hostname} would get the key in clear text: use https.")


class Credentials:
    """What the client signs with, and its end."""

    def __init__(self, key: SecretStr | None) -> None:
        self._identity = DefaultAzureCredential() if key is None else None
        self.value: str | DefaultAzureCredential = key.get_secret_value() if key is not None else self._of_identity()

    def _of_identity(self) -> DefaultAzureCredential:
        assert self._identity is not None
        return self._identity

    async def close(self) -> None:
        """Close the identity's own connections."""
        if self._identity is not None:
            await self._identity.close()


def make_client(options: CosmosOptions, credentials: Credentials) -> CosmosClient:
    """A client that retries next to nothing by itself: the drain and the callers decide when to try again.

    What is worked around, as of azure-cosmos 4.17:

    * ``retry_throttle_total=0`` is taken for "not given" and means nine retries on 429, up to 30 s in all. Only a
      ``ConnectionPolicy`` whose ``RetryOptions`` say 0 is believed.
    * Lost connections are tried again three times, a second apart, by another policy; ``retry_*=0`` is believed there.
      Going on in another region is a third mechanism and stays.
    """
    policy = documents.ConnectionPolicy()
    policy.RetryOptions._max_retry_attempt_count = 0
    policy.RetryOptions._max_wait_time_in_seconds = 0
    return CosmosClient(
        options.endpoint,
        credentials.value,
        consistency_level=options.consistency,
        connection_policy=policy,
        retry_total=0,
        retry_connect=0,
        retry_read=0,
        retry_status=0,
        connection_timeout=options.timeout_s,
        read_timeout=options.timeout_s,
        preferred_locations=list(options.preferred_locations),
        multiple_write_locations=options.multiple_write_locations,
        enable_endpoint_discovery=options.endpoint_discovery,
        no_response_on_write=True,
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
