"""Reading a photo out of an HTTP request without ever holding more than the limit."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from gateway.admission import Admission
from gateway.errors import BestiaryError, InvalidRequest

FIELD = "photo"
"""Name of the multipart field that carries the photo."""

MULTIPART_OVERHEAD_BYTES = 64 * 1024
"""Room for boundaries and part headers on top of the photo limit."""


class CallerGone(BestiaryError):
    """The caller hung up while sending; nobody is there to read this."""

    code = "caller_gone"


@dataclass(frozen=True, slots=True)
class Upload:
    """The photo's bytes and the name that came with it."""

    photo: bytes
    filename: str | None


async def read_upload(request: Request, admission: Admission) -> Upload:
    """The photo of a raw or multipart body. Raises PhotoRejected (too large), InvalidRequest."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        return await _read_multipart(request, admission)
    return Upload(await read_limited(request, admission), None)


async def read_limited(request: Request, admission: Admission, extra_bytes: int = 0) -> bytes:
    """The whole body, refused as soon as it is known to be more than the photo limit and ``extra_bytes``."""
    admission.check_size(_declared_size(request) - extra_bytes)
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            admission.check_size(size - extra_bytes)
            chunks.append(chunk)
    except ClientDisconnect:
        raise CallerGone("The upload broke off: send the photo again.") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _read_multipart(request: Request, admission: Admission) -> Upload:
    admission.check_size(_declared_size(request) - MULTIPART_OVERHEAD_BYTES)
    limited = Request(request.scope, _limited_receive(request, admission))
    try:
        async with limited.form(max_files=1, max_fields=8) as form:
            part = form.get(FIELD)
            if not isinstance(part, UploadFile):
                raise InvalidRequest(
                    f"The form has no file field `{FIELD}`: send one photo in it (curl -F {FIELD}=@f)."
                )
            photo = await part.read()
            return Upload(photo, part.filename)
    except MultiPartException as error:
        raise InvalidRequest(f"The multipart body cannot be read: {error.message}") from None
    except ClientDisconnect:
        raise CallerGone("The upload broke off: send the photo again.") from None


def _limited_receive(request: Request, admission: Admission):  # type: ignore[no-untyped-def]  # ASGI's receive
    size = -MULTIPART_OVERHEAD_BYTES

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        admission.check_size(size)
        return message

    return receive


def _declared_size(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdigit() else 0
