"""REST: ``/v1/classifications`` and the photo back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from contract.options import Options, Task
from contract.priority import Priority
from contract.record import AckLevel, Record, Verdict
from gateway.edge.http.access import Classifies, Reads
from gateway.edge.http.body import FIELD, BlobBody, caller_of, read_upload
from gateway.edge.http.problems import problems
from gateway.edge.timings import SERVER_TIMING, server_timing
from gateway.ports import ListQuery
from gateway.service import MAX_PAGE, Service

MAX_TIMEOUT_MS = 86_400_000
"""A day. What the service really honours is a setting; this only keeps numbers sane."""

_Share = Annotated[float | None, Query(ge=0, le=1, description="Threshold; by default the release's.")]

_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": BlobBody.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
    },
}


class RecordPage(BaseModel):
    """One page of records, newest first."""

    classifications: list[Record]
    next_page_token: str


class PhotoLink(BaseModel):
    """Where a photo can be read. Whoever has the URL can until then: keep it secret."""

    url: str = Field(description="Absolute where the storage serves it, else a path of this service.")
    expires_at: datetime | None = Field(description="UTC; null for a path of this service, which does not expire.")


def _no_number(moment: object) -> object:
    """Pydantic reads a number as seconds since 1970; the document promises a date and time."""
    if isinstance(moment, str) and not re.match(r"\d{4}-\d\d-\d\d", moment):
        raise ValueError("give date and time as in RFC 3339, e.g. 2026-11-22T08:00:00Z")
    return moment


_Moment = Annotated[datetime, BeforeValidator(_no_number)]
_RecordId = Annotated[str, Path(json_schema_extra={"format": "uuid"}, description="The `id` of a classification.")]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def router(service: Service, upload_timeout_s: float) -> APIRouter:
    """The REST routes over ``service``."""
    routes = APIRouter(prefix="/v1/classifications", tags=["classifications"])

    @routes.post(
        "",
        status_code=201,
        response_model=Record,
        responses=problems(400, 401, 403, 404, 413, 415, 422, 429, 503, 504),
        openapi_extra={"requestBody": _BODY},
    )
    async def classify(
        request: Request,
        caller: Classifies,
        ack: Annotated[AckLevel | None, Query(description="How safe the record is before the answer.")] = None,
        filename: Annotated[str | None, Query(max_length=1024, description="Kept in the record.")] = None,
        tasks: Annotated[Task, Query(description="How much to find out; `species` is the cheapest.")] = Task.FULL,
        detect_from: _Share = None,
        overlap: _Share = None,
        sure_from: _Share = None,
        empty_from: _Share = None,
        keep_location: Annotated[bool, Query(description="Keep the GPS position of the photo's EXIF.")] = False,
        priority: Annotated[
            Priority, Query(description="`batch` waits while interactive photos come.")
        ] = Priority.INTERACTIVE,
        bestiary_timeout_ms: Annotated[int | None, Header(ge=1, le=MAX_TIMEOUT_MS, description="Milliseconds.")] = None,
    ) -> Response:
        """Find, count and name the animals in one photo: its bytes as the body, a form with the field
        `photo`, or JSON that names a blob in the service's own storage."""
        entered = service.clock.monotonic()
        with service.admission.hold() as take:
            upload = await read_upload(request, service.admission, take, upload_timeout_s)
            outcome = await service.classify(
                upload.photo,
                principal=caller,
                edge="http",
                timeout_s=None if bestiary_timeout_ms is None else bestiary_timeout_ms / 1e3,
                filename=filename or upload.filename,
                ack=ack,
                options=Options(tasks, detect_from, overlap, sure_from, empty_from),
                keep_location=keep_location,
                caller=caller_of(request),
                priority=priority,
                entered=entered,
            )
        record = outcome.record
        return Response(
            record.model_dump_json(by_alias=True),
            201,
            {"Location": f"/v1/classifications/{record.id}", SERVER_TIMING: server_timing(outcome.timings_ms)},
            media_type="application/json",
        )

    @routes.get("", response_model=RecordPage, responses=problems(400, 401, 403, 503))
    async def list_records(
        caller: Reads,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        page_token: str = "",
        species: Annotated[str, Query(description="Common name of the best species.")] = "",
        verdict: Verdict | None = None,
        since: Annotated[_Moment | None, Query(description="Inclusive; UTC unless it says otherwise.")] = None,
        until: Annotated[_Moment | None, Query(description="Exclusive.")] = None,
    ) -> Response:
        """Stored records, newest first."""
        query = ListQuery(limit, page_token, species, verdict or "", _utc(since), _utc(until))
        page = await service.list(query, caller)
        body = RecordPage(classifications=list(page.records), next_page_token=page.next_page_token)
        return Response(body.model_dump_json(by_alias=True), media_type="application/json")

    @routes.get("/{record_id}", response_model=Record, responses=problems(400, 401, 403, 404, 503))
    async def get_record(record_id: _RecordId, caller: Reads) -> Response:
        """One record."""
        record = await service.get(record_id, caller)
        return Response(record.model_dump_json(by_alias=True), media_type="application/json")

    @routes.get(
        "/{record_id}/photo",
        response_class=Response,
        responses={
            200: {
                "content": {"image/*": {}, "application/json": {"schema": PhotoLink.model_json_schema()}},
                "description": "The photo, or with `link=true` where to read it.",
            },
            **problems(400, 401, 403, 404, 503),
        },
    )
    async def get_photo(
        record_id: _RecordId,
        caller: Reads,
        link: Annotated[bool, Query(description="Answer a short-lived link instead of the photo.")] = False,
    ) -> Response:
        """The photo as it was uploaded, or a link that reads it for some minutes."""
        if link:
            made = await service.photo_link(record_id, caller)
            where = PhotoLink(
                url=made.url if made else f"/v1/classifications/{record_id}/photo",
                expires_at=made.expires_at if made else None,
            )
            return Response(
                where.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"}
            )
        record, photo = await service.photo(record_id, caller)
        media_type = f"image/{record.photo.format.lower()}"
        # An upload is never a page: the browser must not guess, and a new tab must not run it.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return Response(photo, media_type=media_type, headers=headers)

    return routes
