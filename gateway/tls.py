"""TLS of both listeners from the same files. Files that change are used for new connections, without a restart.

gRPC asks for the certificates at every handshake. HTTP has one SSLContext, which takes a new certificate while it is
in use; it is looked at every ``LOOK_AGAIN_S``. A changed client CA is taken up by gRPC at once and by HTTP at the
next start, as a context only ever adds to the CAs that it trusts.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ``client_ca`` None asks nobody for a certificate; ``required`` refuses who has none."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    required: bool = True

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Changes when a file does. Raises OSError."""
        files = [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]
        return tuple((file.stat().st_mtime_ns, file.stat().st_ino) for file in files)


def http_context(files: TlsFiles) -> ssl.SSLContext:
    """For uvicorn: TLS 1.2 or newer. Raises OSError (ssl.SSLError among them)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if files.required else ssl.CERT_OPTIONAL
    return context


async def keep_current(context: ssl.SSLContext, files: TlsFiles, look_again_s: float = LOOK_AGAIN_S) -> None:
    """Load certificate and key into the context whenever the files change, until cancelled."""
    seen = files.stamp()
    while True:
        await asyncio.sleep(look_again_s)
        try:
            stamp = files.stamp()
            if stamp != seen:
                check = http_context(files)  # a half-written pair must not reach the context in use
                del check
                context.load_cert_chain(files.certificate, files.key)
                seen = stamp
                log.info("the certificate of HTTP was read again from %s", files.certificate)
        except OSError as error:
            log.error("the certificate %s cannot be read again, the last one stays: %s", files.certificate, error)


def grpc_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """For the gRPC server. gRPC for Python either requires a client certificate or does not ask for one, so
    "optional" asks nobody. Raises OSError."""
    required = files.client_ca is not None and files.required
    seen = files.stamp()

    def read() -> grpc.ServerCertificateConfiguration:
        pair = (files.key.read_bytes(), files.certificate.read_bytes())
        roots = files.client_ca.read_bytes() if required and files.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC in a thread of its own at each handshake; None keeps what there is."""
        nonlocal seen
        try:
            stamp = files.stamp()
            if stamp == seen:
                return None
            http_context(files)
            configuration = read()
            seen = stamp
            return configuration
        except OSError as error:
            log.error("the certificate %s cannot be read again, the last one stays: %s", files.certificate, error)
            return None

    http_context(files)  # gRPC would say nothing of a key that does not belong to the certificate
    return grpc.dynamic_ssl_server_credentials(read(), fetch, require_client_authentication=required)
