"""The caller as the rest of the service sees it, and the credentials as they came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from contract.record import LOCAL_OWNER, MAX_OWNER
from gateway.errors import Unauthenticated


class Scope(StrEnum):
    """What a caller may do. Named alike in tokens (``scp`` and ``roles``), API keys and settings."""

    CLASSIFY = "classify"
    """Send photos."""
    READ = "read"
    """Read its own records and photos."""
    ADMIN = "admin"
    """Everything, other owners' records included."""


class Kind(StrEnum):
    """What a caller was known by."""

    OPEN = "open"
    """Nothing: loopback without credentials."""
    TOKEN = "token"  # noqa: S105  # the word, not a secret
    KEY = "key"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Quota:
    """A caller's share: photos a minute and photos in work at once; None is no limit."""

    photos_per_minute: int | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that is known. ``name`` is for logs and audit lines; ``quota`` None is the service's default."""

    tenant: str
    subject: str
    scopes: frozenset[Scope]
    kind: Kind
    name: str = ""
    quota: Quota | None = None

    @property
    def owner(self) -> str:
        """Owner of the records that this caller makes: ``tenant/subject``, or ``local`` without credentials."""
        return LOCAL_OWNER if self.kind is Kind.OPEN else f"{self.tenant}/{self.subject}"

    def holds(self, scope: Scope) -> bool:
        """Whether the caller may do this; ``admin`` may do everything."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def may_read(self, owner: str) -> bool:
        """Whether this owner's records are the caller's to read."""
        return owner == self.owner or Scope.ADMIN in self.scopes


LOCAL = Principal("", LOCAL_OWNER, frozenset(Scope), Kind.OPEN)
"""Whoever is on this machine, where no credentials are configured."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a call; '' where it did not. ``certificate`` is the subject (RFC 4514) of a client certificate
    that the TLS handshake verified."""

    bearer: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    certificate: str = ""

    def __bool__(self) -> bool:
        return bool(self.bearer or self.api_key or self.certificate)


def read_credentials(authorization: str, api_key: str, certificate: str = "") -> Credentials:
    """Credentials from the headers ``Authorization`` and ``X-API-Key``. Raises Unauthenticated unless they are of one
    kind: with two it would be unclear who calls. A certificate only counts where no header says who."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    known = {"bearer", "apikey"}
    if authorization.strip() and (scheme.lower() not in known or not value):
        raise Unauthenticated("Authorization must be `Bearer <token>` or `ApiKey <key>`: send one of the two.")
    if authorization.strip() and api_key:
        raise Unauthenticated("Send either Authorization or X-API-Key, not both.")
    if scheme.lower() == "bearer":
        return Credentials(bearer=value)
    given = value or api_key.strip()
    return Credentials(api_key=given) if given else Credentials(certificate=certificate)


def checked(principal: Principal) -> Principal:
    """The principal, if its owner can stand in a record. Raises Unauthenticated."""
    words = (principal.tenant, principal.subject)
    if not all(words) or "/" in principal.tenant or len(principal.owner) > MAX_OWNER:
        raise Unauthenticated(f"Tenant and subject must together have at most {MAX_OWNER - 1} characters, both some.")
    if not all(word.isprintable() for word in words):
        raise Unauthenticated("Tenant and subject must be printable text.")
    return principal
