"""Client certificates as principals, where the operator says so."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509

from gateway.auth.principal import Credentials, Kind, Principal, Scope


class CertificateAuthenticator:
    """The Authenticator port for client certificates. The TLS handshake has verified them against the operator's CA,
    so its certificates are as good as keys: the whole subject is the caller, all with the same scopes."""

    challenge = ""

    def __init__(self, tenant: str, scopes: frozenset[Scope]) -> None:
        self._tenant = tenant
        self._scopes = scopes

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """The subject of the certificate."""
        subject = credentials.certificate
        return Principal(self._tenant, subject, self._scopes, Kind.CERTIFICATE, subject) if subject else None

    async def close(self) -> None:
        """Nothing to release."""


@lru_cache(maxsize=1024)
def subject_of(certificate: bytes) -> str:
    """The subject of a verified certificate, PEM or DER, as RFC 4514 text, e.g. ``CN=camera-7,O=park``; '' if it
    cannot be read."""
    try:
        load = x509.load_pem_x509_certificate if certificate.startswith(b"-----") else x509.load_der_x509_certificate
        return load(certificate).subject.rfc4514_string()
    except ValueError:
        return ""
