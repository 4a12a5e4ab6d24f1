"""Opaque page tokens: where a listing that goes newest first went on from."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.errors import InvalidRequest

_LAYOUT: Final = struct.Struct(">q16s")
_CHECKSUM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class PageToken:
    """The last record of a page: microseconds since 1970 of its reception, and its id."""

    received_us: int
    record_id: UUID

    def encode(self) -> str:
        """The token as text that is safe in a URL."""
        body = _LAYOUT.pack(self.received_us, self.record_id.bytes)
        return base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")


def decode(token: str) -> PageToken:
    """The position in a token. Raises InvalidRequest unless it is one that ``encode`` made."""
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _garbled() from error
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if len(body) != _LAYOUT.size or checksum != _checksum(body):
        raise _garbled()
    received_us, id_bytes = _LAYOUT.unpack(body)
    return PageToken(received_us, UUID(bytes=id_bytes))


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES)


def _garbled() -> InvalidRequest:
    return InvalidRequest("page_token is not one that this service gave. Leave it out to begin at the newest record.")
