"""The guard that the settings ask for, and what they must not ask for."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from gateway.auth.api_keys import ApiKeyAuthenticator, KeyFile
from gateway.auth.bearer import BearerAuthenticator, Trust
from gateway.auth.certificates import CertificateAuthenticator
from gateway.auth.guard import Guard, OpenAuthenticator
from gateway.auth.jwks import JwksCache
from gateway.auth.key_ring import parse_ring
from gateway.ports import Authenticator, Clock
from gateway.settings import Settings
from gateway.tls import TlsFiles


def make_guard(settings: Settings, clock: Clock) -> Guard:
    """All configured ways of knowing a caller at once; the open one if there is none. Call refuse_open_bind first.

    Raises ValueError for settings that contradict each other, OSError if the key file cannot be read.
    """
    authenticators: list[Authenticator] = []
    if settings.entra_tenants:
        authenticators.append(_bearer(settings, clock))
    pepper = settings.api_key_pepper.get_secret_value().encode()
    if settings.api_keys_file is not None:
        authenticators.append(ApiKeyAuthenticator(KeyFile(settings.api_keys_file, clock), pepper, clock))
    if settings.api_keys is not None:
        ring = parse_ring(settings.api_keys.get_secret_value(), "BESTIARY_API_KEYS")
        authenticators.append(ApiKeyAuthenticator(lambda: ring, pepper, clock))
    if settings.client_certificate_scopes:
        if settings.tls_client_ca_file is None:
            raise ValueError("BESTIARY_CLIENT_CERTIFICATE_SCOPES needs BESTIARY_TLS_CLIENT_CA_FILE: set both or none.")
        scopes = frozenset(settings.client_certificate_scopes)
        authenticators.append(CertificateAuthenticator(settings.client_certificate_tenant, scopes))
    return Guard(authenticators or [OpenAuthenticator()])


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files of TLS; None without. Raises ValueError if one is missing."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        if certificate or key or settings.tls_client_ca_file:
            raise ValueError("TLS needs both BESTIARY_TLS_CERTIFICATE_FILE and BESTIARY_TLS_KEY_FILE: set both.")
        return None
    required = settings.tls_client_certificates == "required"
    return TlsFiles(certificate, key, settings.tls_client_ca_file, required)


def refuse_open_bind(settings: Settings) -> None:
    """Raise ValueError for any address but loopback unless callers are known and nobody can listen in, and for an
    origin of every page."""
    if "*" in settings.cors_origins:
        raise ValueError("BESTIARY_CORS_ORIGINS must name each origin, e.g. https://park.example: `*` is every page.")
    if is_loopback(settings.host):
        return
    credentials = (
        settings.entra_tenants
        or settings.api_keys_file is not None
        or settings.api_keys is not None
        or settings.client_certificate_scopes
    )
    encrypted = settings.tls_certificate_file is not None or settings.tls_terminated_by_proxy
    missing = [
        *([] if credentials else ["credentials (BESTIARY_ENTRA_TENANTS or BESTIARY_API_KEYS_FILE)"]),
        *([] if encrypted else ["TLS (BESTIARY_TLS_CERTIFICATE_FILE, or BESTIARY_TLS_TERMINATED_BY_PROXY=true)"]),
    ]
    if missing:
        raise ValueError(
            f"The gateway will not listen on {settings.host} without {' and '.join(missing)}: "
            "configure that, see docs/security.md, or use 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; of names only ``localhost`` is known to be."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _bearer(settings: Settings, clock: Clock) -> BearerAuthenticator:
    if not settings.entra_audiences or not settings.entra_issuers:
        raise ValueError("BESTIARY_ENTRA_TENANTS needs BESTIARY_ENTRA_AUDIENCES: the application id of this service.")
    url = urlsplit(settings.entra_jwks_url)
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
        raise ValueError("BESTIARY_ENTRA_JWKS_URL must be an https address: keys from elsewhere prove nothing.")
    trust = Trust(frozenset(settings.entra_tenants), settings.entra_audiences, settings.entra_issuers)
    return BearerAuthenticator(trust, JwksCache(settings.entra_jwks_url, clock), clock)
