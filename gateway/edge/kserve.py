"""KServe v2 (Open Inference Protocol) on ``animals``, apart from its two transports.

A KServe call is a classification like any other: admitted, stored, acknowledged. Photos of one call
are worked on side by side; a bad one is said in its row of ``STATUS`` unless it is the only one,
then the call fails with its typed error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from contract.answer import ContractBroken, failed_row, split_strings
from contract.options import DEFAULTS, Options, OptionsError, read_options
from contract.photo_status import PhotoStatus
from contract.priority import PRIORITY, Priority, of_level
from contract.record import AckLevel
from contract.tensors import ANIMALS, ANIMALS_OUTPUTS, MAX_BATCH, PHOTO
from gateway.auth.principal import Principal
from gateway.errors import InvalidRequest, NotExposed, PhotoRejected, RecordNotFound
from gateway.service import Service

MAX_TIMEOUT_US = 86_400_000_000
"""A day. What the service really honours is a setting; this only keeps numbers sane."""

SHARED_MEMORY = "shared_memory_region"
PLATFORM = "bestiary"

_NOTHING = failed_row(PhotoStatus.OK)
"""What stands in outputs that nobody asked the model for."""

_BY_NAME = {spec.name: spec for spec in ANIMALS_OUTPUTS}


@dataclass(frozen=True, slots=True)
class InferCall:
    """One decoded infer request: photos, wanted outputs ('' for all) and parameters."""

    photos: Sequence[bytes]
    outputs: Sequence[str] = ()
    timeout_s: float | None = None
    ack: AckLevel | None = None
    options: Options = DEFAULTS
    keep_location: bool = False
    priority: Priority | None = None
    caller: str = ""
    entered: float | None = None
    """When the edge began to read the call, on the monotonic clock."""

    @property
    def urgency(self) -> Priority:
        """What was asked for; else a single photo is interactive, and many in one call are a batch."""
        return self.priority or (Priority.INTERACTIVE if len(self.photos) == 1 else Priority.BATCH)


@dataclass(frozen=True, slots=True)
class InferReply:
    """Raw tensors [N, ...] by output name in the order asked for, and the ids of the records made ('' for none)."""

    count: int
    tensors: Mapping[str, bytes]
    record_ids: Sequence[str] = field(default_factory=tuple)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """Of the photo that took longest; empty if none was answered."""

    @property
    def version(self) -> str:
        """The only version that callers see; releases are the operator's matter."""
        return "1"


async def infer(service: Service, call: InferCall, principal: Principal, edge: str) -> InferReply:
    """Classify the photos of one call for ``principal``. Raises BestiaryError."""
    wanted = check_outputs(call.outputs)
    if not call.photos:
        raise InvalidRequest(f"Input {PHOTO.name} has no element: send one encoded photo per row.")
    if len(call.photos) == 1:
        rows = [await _one(service, call.photos[0], call, principal, edge)]
    else:
        tasks = [asyncio.create_task(_row(service, photo, call, principal, edge)) for photo in call.photos]
        try:
            rows = list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
    return InferReply(
        count=len(rows),
        tensors={name: b"".join([row.tensors[name] for row in rows]) for name in wanted},
        record_ids=[row.record_id for row in rows],
        timings_ms=max((row.timings_ms for row in rows), key=lambda timings: timings.get("total", 0.0)),
    )


class _Row(NamedTuple):
    """What came of one photo."""

    tensors: Mapping[str, bytes]
    record_id: str = ""
    timings_ms: Mapping[str, float] = MappingProxyType({})


async def _one(service: Service, photo: bytes, call: InferCall, principal: Principal, edge: str) -> _Row:
    outcome = await service.classify(
        photo,
        principal=principal,
        edge=edge,
        timeout_s=call.timeout_s,
        ack=call.ack,
        options=call.options,
        keep_location=call.keep_location,
        caller=call.caller,
        priority=call.urgency,
        entered=call.entered,
    )
    return _Row({**_NOTHING, **outcome.inference.tensors}, str(outcome.record.id), outcome.timings_ms)


async def _row(service: Service, photo: bytes, call: InferCall, principal: Principal, edge: str) -> _Row:
    try:
        return await _one(service, photo, call, principal, edge)
    except PhotoRejected as error:
        return _Row(failed_row(error.status))


def check_model(name: str, version: str = "") -> None:
    """Raise RecordNotFound for any model but ``animals``: the others are internal."""
    if name != ANIMALS or version not in ("", "1"):
        raise RecordNotFound(f"Request for unknown model: ask for `{ANIMALS}`, without a version.")


def check_outputs(names: Sequence[str]) -> Sequence[str]:
    """The outputs to return; all of them if none is named. Raises InvalidRequest for unknown ones."""
    for name in names:
        if name not in _BY_NAME:
            raise InvalidRequest(f"There is no output {name[:64]!r}: ask for one of {', '.join(_BY_NAME)}.")
    return names or tuple(_BY_NAME)


def photos_of(name: str, datatype: str, shape: Sequence[int], elements: Sequence[bytes] | bytes) -> Sequence[bytes]:
    """The photos of an input tensor: raw bytes with length prefixes, or already separate elements.

    Raises InvalidRequest if name, datatype or shape are not those of ``animals``.
    """
    if name != PHOTO.name or datatype != PHOTO.datatype:
        raise InvalidRequest(f"Send one input: name {PHOTO.name}, datatype {PHOTO.datatype}, shape [N, 1].")
    try:
        photos = split_strings(elements, MAX_BATCH) if isinstance(elements, bytes) else elements
    except ContractBroken as error:
        raise InvalidRequest(f"Input {PHOTO.name}: {error}. At most {MAX_BATCH} photos go into one call.") from None
    if len(photos) > MAX_BATCH:
        raise InvalidRequest(f"At most {MAX_BATCH} photos go into one call: send the rest in another.")
    if list(shape) not in ([len(photos)], [len(photos), 1]):
        raise InvalidRequest(f"Input {PHOTO.name} has {len(photos)} photos: its shape must be [{len(photos)}, 1].")
    return photos


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse what only the operator may use. Raises NotExposed, InvalidRequest."""
    if SHARED_MEMORY in parameters:
        raise NotExposed("Shared memory is not offered here: send the bytes in the request.")
    if "classification" in parameters:
        raise InvalidRequest("Classification counts are not offered: read SPECIES_NAMES and SPECIES_SCORES.")


def options_of(parameters: Mapping[str, Any]) -> Options:
    """Task and thresholds in request parameters. Raises InvalidRequest."""
    try:
        return read_options(parameters)
    except OptionsError as error:
        raise InvalidRequest(str(error)) from None


def flag(parameters: Mapping[str, Any], name: str) -> bool:
    """A request parameter that is true or false; false if it is absent. Raises InvalidRequest."""
    value = parameters.get(name, False)
    if value not in (True, False, "true", "false"):
        raise InvalidRequest(f"The parameter {name} must be true or false.")
    return value in (True, "true")


def ack_of(text: str) -> AckLevel | None:
    """The ack level in a request parameter; '' is the default. Raises InvalidRequest."""
    try:
        return AckLevel(text) if text else None
    except ValueError:
        raise InvalidRequest(f"Unknown ack level: use one of {', '.join(AckLevel)}.") from None


def priority_of(parameters: Mapping[str, Any]) -> Priority | None:
    """The protocol's ``priority`` parameter: 1 interactive, 2 batch, or the words; 0 or nothing for the default.
    Raises InvalidRequest."""
    value = parameters.get(PRIORITY) or 0
    try:
        return Priority(value) if isinstance(value, str) else of_level(value)
    except ValueError:
        raise InvalidRequest("The parameter priority must be 1 (interactive) or 2 (batch).") from None


def timeout_of(microseconds: Any) -> float | None:
    """Seconds from the protocol's ``timeout`` parameter (microseconds; 0 or None for the default)."""
    if not microseconds:
        return None
    if not isinstance(microseconds, int) or not 0 < microseconds <= MAX_TIMEOUT_US:
        raise InvalidRequest("The parameter timeout is a positive number of microseconds.")
    return microseconds / 1e6


def output_shape(name: str, count: int) -> list[int]:
    """Shape of an output for ``count`` photos."""
    return [count, *_BY_NAME[name].shape]


def output_datatype(name: str) -> str:
    """KServe v2 datatype of an output."""
    return _BY_NAME[name].datatype
