"""Records as protobuf messages, and requests back."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.options import TASKS, Options, OptionsError, Task, read_options
from contract.record import AckLevel, Alternatives, Box, Record, RecordStatus, SpeciesScore, Taxon, Verdict
from gateway.errors import BestiaryError, InvalidRequest
from gateway.ports import ListQuery

_ACK = {
    pb.ACK_LEVEL_ACCEPTED: AckLevel.ACCEPTED,
    pb.ACK_LEVEL_DURABLE: AckLevel.DURABLE,
    pb.ACK_LEVEL_STORED: AckLevel.STORED,
}
_VERDICT = {
    Verdict.ANIMAL: pb.VERDICT_ANIMAL,
    Verdict.EMPTY: pb.VERDICT_EMPTY,
    Verdict.UNKNOWN: pb.VERDICT_UNKNOWN,
}
_VERDICT_BACK = {number: verdict for verdict, number in _VERDICT.items()}
_STATUS = {
    RecordStatus.COMPLETE: pb.RECORD_STATUS_COMPLETE,
    RecordStatus.PARTIAL: pb.RECORD_STATUS_PARTIAL,
}


_TASKS = {
    Task.SPECIES: pb.TASKS_SPECIES,
    Task.COUNT: pb.TASKS_COUNT,
    Task.FULL: pb.TASKS_FULL,
}
_TASKS_BACK = {number: task for task, number in _TASKS.items()}


def options_of(request: pb.ClassifyRequest) -> Options:
    """Task and thresholds of a request. Raises InvalidRequest."""
    task = _TASKS_BACK.get(request.tasks, Task.FULL)
    given = {field.name: value for field, value in request.thresholds.ListFields()}
    try:
        return read_options({TASKS: task, **given})
    except OptionsError as error:
        raise InvalidRequest(str(error)) from None


def ack_of(number: int) -> AckLevel | None:
    """The ack level asked for; None for the default."""
    return _ACK.get(number)  # type: ignore[call-overload, no-any-return]  # enum wrapper vs int


def classification(record: Record) -> pb.Classification:
    """A record as its message."""
    message = pb.Classification(
        schema_version=record.schema_version,
        id=str(record.id),
        received_at=_timestamp(record.received_at),
        status=_STATUS[record.status],
        verdict=_VERDICT[record.verdict],
        species=[_species(score) for score in record.species],
        counts=record.counts,
        boxes=map(_box, record.boxes),
        tasks=_TASKS[record.tasks],
        taxon=_taxon(record.taxon),
        alternatives=_alternatives(record.alternatives),
        photo=_photo(record),
        release=record.release,
        timings_ms=pb.Timings(**record.timings_ms.model_dump()),
    )
    if record.count is not None:
        message.count = record.count
    return message


def failure(error: BestiaryError) -> pb.Failure:
    """An error as a message of a stream."""
    return pb.Failure(
        reason=error.reason,
        message=str(error),
        retryable=error.retryable,
        retry_after_s=error.retry_after_s or 0.0,
    )


def list_query(request: pb.ListClassificationsRequest) -> ListQuery:
    """The query in a list request."""
    verdict = _VERDICT_BACK.get(request.verdict)
    try:
        since = request.since.ToDatetime(UTC) if request.HasField("since") else None
        until = request.until.ToDatetime(UTC) if request.HasField("until") else None
    except (ValueError, OverflowError):
        raise InvalidRequest("`since` and `until` must be times between the years 1 and 9999.") from None
    return ListQuery(
        limit=request.page_size,
        page_token=request.page_token,
        species=request.species,
        verdict=verdict.value if verdict else "",
        since=since,
        until=until,
    )


def _species(score: SpeciesScore) -> pb.SpeciesScore:
    return pb.SpeciesScore(**score.model_dump(by_alias=True))


def _box(box: Box) -> pb.Box:
    return pb.Box(
        x1=box.x1,
        y1=box.y1,
        x2=box.x2,
        y2=box.y2,
        score=box.score,
        species=map(_species, box.species),
        taxon=_taxon(box.taxon),
        alternatives=_alternatives(box.alternatives),
    )


def _taxon(taxon: Taxon | None) -> pb.Taxon | None:
    return None if taxon is None else pb.Taxon(**taxon.model_dump(by_alias=True))


def _alternatives(alternatives: Alternatives | None) -> pb.Alternatives | None:
    if alternatives is None:
        return None
    return pb.Alternatives(
        coverage=alternatives.coverage,
        species=map(_species, alternatives.species),
        taxon=_taxon(alternatives.taxon),
    )


def _photo(record: Record) -> pb.Photo:
    photo = record.photo
    return pb.Photo(
        sha256=photo.sha256,
        blob=photo.blob,
        source=photo.source or "",
        filename=photo.filename or "",
        format=photo.format,
        width=photo.width,
        height=photo.height,
        size_bytes=photo.size_bytes,
        captured_at=photo.captured_at.isoformat() if photo.captured_at else "",
        camera=None if photo.camera is None else pb.Camera(**photo.camera.model_dump()),
        location=None if photo.location is None else pb.Location(**photo.location.model_dump()),
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
