"""A plan and its photos on their way into a process that sends."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import IO

from loadtest.photos import Kind
from loadtest.plan import Plan, load_plan

Photos = Mapping[Kind, Sequence[bytes]]


def write_job(stream: IO[bytes], plan: Plan, photos: Photos) -> None:
    """For another process's standard input: the length of the JSON, the JSON, the photos' bytes. Raises OSError."""
    sizes = {kind.value: [len(photo) for photo in its] for kind, its in photos.items()}
    head = json.dumps({"plan": plan.dump(), "sizes": sizes}).encode()
    stream.write(struct.pack("<I", len(head)) + head)
    for its in photos.values():
        for photo in its:
            stream.write(photo)
    stream.flush()


def read_job(stream: IO[bytes]) -> tuple[Plan, Photos]:
    """The inverse of :func:`write_job`."""
    (length,) = struct.unpack("<I", stream.read(4))
    head = json.loads(stream.read(length))
    photos = {Kind(kind): [stream.read(size) for size in sizes] for kind, sizes in head["sizes"].items()}
    return load_plan(head["plan"]), photos
