"""Reading a photo out of an HTTP request without ever holding more than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from gateway.admission import Admission
from gateway.errors import BestiaryError, InvalidRequest
from gateway.service import BlobReference

FIELD = "photo"
"""Name of the multipart field that carries the photo."""

MAX_REFERENCE_BYTES = 16 * 1024
"""A JSON body is a reference; more than this is none."""

MULTIPART_OVERHEAD_BYTES = 64 * 1024
"""Room for boundaries and part headers on top of the photo limit."""


T = TypeVar("T")


class CallerGone(BestiaryError):
    """The caller hung up while sending; nobody is there to read this."""

    code = "caller_gone"


class BlobBody(BaseModel):
    """Instead of a photo: one that is in the service's own storage."""

    model_config = ConfigDict(extra="forbid")

    blob: str = Field(
        max_length=2048, description="`container/name`, e.g. `datasets/summer/0001.jpg`, or the blob's URL, no query."
    )


@dataclass(frozen=True, slots=True)
class Upload:
    """The photo's bytes, or a reference to them, and the name that came with it."""

    photo: bytes | BlobReference
    filename: str | None


Take = Callable[[int], None]
"""Counts bytes that are held; raises Overloaded (see Admission.hold)."""


async def read_upload(request: Request, admission: Admission, take: Take, timeout_s: float) -> Upload:
    """The photo of a raw or multipart body, or the reference in a JSON one.

    Raises PhotoRejected (too large), InvalidRequest, Overloaded.
    """
    media_type = request.headers.get("content-type", "").lower()
    if media_type.partition(";")[0].strip() == "application/json":
        return Upload(await _in_time(_read_reference(request, take), timeout_s), None)
    if media_type.startswith("multipart/"):
        return await _in_time(_read_multipart(request, admission, take), timeout_s)
    return Upload(await read_limited(request, admission, take, timeout_s), None)


async def read_limited(
    request: Request, admission: Admission, take: Take, timeout_s: float, extra_bytes: int = 0
) -> bytes:
    """The whole body, refused as soon as it is known to be more than the photo limit and ``extra_bytes``."""
    return await _in_time(_read_raw(request, admission, take, extra_bytes), timeout_s)


async def _in_time(reading: Awaitable[T], timeout_s: float) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await reading
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {timeout_s:g} s: send it again, faster.") from None
    except ClientDisconnect:
        raise CallerGone("The upload broke off: send the photo again.") from None


async def _read_raw(request: Request, admission: Admission, take: Take, extra_bytes: int) -> bytes:
    admission.check_size(_declared_size(request) - extra_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        admission.check_size(size - extra_bytes)
        take(len(chunk))
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _read_reference(request: Request, take: Take) -> BlobReference:
    body = bytearray()
    async for chunk in request.stream():
        take(len(chunk))
        body += chunk
        if len(body) > MAX_REFERENCE_BYTES:
            raise InvalidRequest("A JSON body is a reference to a blob and small: send a photo's bytes as image/*.")
    try:
        return BlobReference(BlobBody.model_validate_json(bytes(body)).blob, take)
    except ValidationError:
        raise InvalidRequest('A JSON body is {"blob": "container/name"}: send a photo\'s bytes as image/*.') from None


async def _read_multipart(request: Request, admission: Admission, take: Take) -> Upload:
    admission.check_size(_declared_size(request) - MULTIPART_OVERHEAD_BYTES)
    limited = Request(request.scope, _limited_receive(request, admission, take))
    try:
        async with limited.form(max_files=1, max_fields=8) as form:
            part = form.get(FIELD)
            if not isinstance(part, UploadFile):
                raise InvalidRequest(f"The form has no file field `{FIELD}`: send one, as in curl -F {FIELD}=@f.jpg.")
            return Upload(await part.read(), part.filename)
    except HTTPException as error:  # what Starlette makes of a body that it cannot parse
        raise InvalidRequest(f"The multipart body cannot be read: {error.detail}") from None


def _limited_receive(request: Request, admission: Admission, take: Take) -> Receive:
    size = -MULTIPART_OVERHEAD_BYTES

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        chunk = len(message.get("body", b""))
        size += chunk
        admission.check_size(size)
        take(chunk)
        return message

    return receive


def _declared_size(request: Request) -> int:
    """Content-Length; 0 where there is none (the server refuses a garbled one)."""
    return small_number(request.headers.get("content-length", "0")) or 0


def caller_of(request: Request) -> str:
    """Whose share of the service a request takes: the address of the peer without its port."""
    return request.client.host if request.client else ""


def small_number(text: str) -> int | None:
    """A decimal number of at most 15 ASCII digits, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
