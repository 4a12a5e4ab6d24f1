"""Opening a journal that was closed, killed or cut off: which records are not known to be stored."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from contract.record import Record
from gateway.errors import StorageUnavailable
from gateway.storage import frames, segments
from gateway.storage.segments import Position

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """One record behind the checkpoint."""

    record_id: UUID
    payload: bytes
    end: Position


@dataclass(frozen=True, slots=True)
class Recovery:
    """The state to go on from. New segments begin at ``next_number``: an old one is never appended to."""

    records: tuple[Recovered, ...]
    numbers: list[int]
    next_number: int
    checkpoint: Position


def recover(directory: Path) -> Recovery:
    """Read every record from the checkpoint on, cut off torn tails, keep damaged segments aside.

    Blocks. Raises OSError, and StorageUnavailable if a segment is of an unknown format.
    """
    checkpoint = segments.load_checkpoint(directory)
    numbers = segments.segment_numbers(directory)
    records: list[Recovered] = []
    for number in numbers:
        if number >= checkpoint.segment:
            records += _read_segment(directory, number, checkpoint)
    if records:
        _log.info("journal %s: %d records to store again or for the first time", directory, len(records))
    # Above the checkpoint too: else a new segment could take a drained one's number and count as drained.
    next_number = max([checkpoint.segment, *numbers]) + 1
    return Recovery(tuple(records), numbers, next_number, checkpoint)


def _read_segment(directory: Path, number: int, checkpoint: Position) -> list[Recovered]:
    path = segments.segment_path(directory, number)
    content = path.read_bytes()
    try:
        scan = frames.scan(content)
    except frames.UnknownVersion as error:
        raise StorageUnavailable(
            f"Journal segment {path} is of another format: {error}. Open it with the version that wrote it and let it "
            "drain, or give this one a journal directory of its own."
        ) from error
    records: list[Recovered] = []
    unreadable = 0
    for frame in scan.frames:
        end = Position(number, frame.end)
        if end <= checkpoint:
            continue
        try:
            record_id = Record.model_validate_json(frame.payload).id
        except ValidationError:
            unreadable += 1
            continue
        records.append(Recovered(record_id, frame.payload, end))
    if scan.damage or unreadable:
        _keep_aside(path, scan, unreadable)
    elif scan.torn_tail is not None:
        _cut_tail(path, scan.torn_tail)
    return records


def _keep_aside(path: Path, scan: frames.Scan, unreadable: int) -> None:
    """A second name for the file, so that it outlives its draining; segments are never written to again."""
    aside = path.with_name(path.name + ".corrupt")
    if not aside.exists():
        os.link(path, aside)
    lost = sum(gap.end - gap.start for gap in scan.damage)
    _log.error(
        "journal segment %s is damaged: %d bytes in %d places hold no intact record, %d records cannot be read, "
        "%d were recovered. Kept as %s; look at the disk.",
        path,
        lost,
        len(scan.damage),
        unreadable,
        len(scan.frames) - unreadable,
        aside,
    )


def _cut_tail(path: Path, tail: frames.Gap) -> None:
    _log.warning(
        "journal segment %s ends in %d bytes of an unfinished write; cutting them off", path, tail.end - tail.start
    )
    fd = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(fd, tail.start)
        os.fsync(fd)
    finally:
        os.close(fd)
