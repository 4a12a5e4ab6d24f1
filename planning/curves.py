"""What one machine was measured to take for a photo: the input of every plan.

A file of curves is JSON, one machine a file. ``benchmarks.plan_curves`` measures and writes it; a file for hardware
that nobody has measured says ``"measured": null`` and why its figures are what they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.options import Task
from planning.errors import BadInput

FOLDER: Final = Path(__file__).parent / "curves"
MEASURED_HERE: Final = FOLDER / "xeon-207-2-vcpu.json"
ASSUMED_GPU: Final = FOLDER / "t4-assumed.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(_Part):
    """How long an instance of `animals` is busy with one batch, while ``busy`` of them are (it included)."""

    batch: int = Field(ge=1)
    """Photos."""
    busy: int = Field(ge=1)
    ms: float = Field(gt=0)
    """Mean of the executions."""
    ratios: tuple[float, ...] = (1.0,)
    """Quantiles of an execution over the mean, evenly spaced from the fastest to the slowest."""


class Profile(_Part):
    """One task on one kind of photos. Milliseconds of CPU a photo, each taken with nothing else in work."""

    task: Task
    photos: str
    """Kind of photos, e.g. ``small``."""
    photo_bytes: int = Field(ge=1)
    service: tuple[Cell, ...] = Field(min_length=1)
    edge_loop_ms: float = Field(ge=0)
    """On the event loop of a gateway process: one thread, one photo after the other."""
    edge_threads_ms: float = Field(ge=0)
    """On its other threads: staging the photo, the journal."""
    triton_ms: float = Field(ge=0)
    """In ``tritonserver`` itself."""
    client_ms: float = Field(ge=0)
    """In the load generator, where it shares the machine; callers elsewhere cost nothing here."""
    rest_ms: float = Field(ge=0)
    """What one photo alone takes beyond all of the above: switches of threads and processes. Waiting, not CPU."""

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that were measured alone, ascending."""
        return tuple(sorted(cell.batch for cell in self.service if cell.busy == 1))

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if not any(cell.batch == 1 and cell.busy == 1 for cell in self.service):
            raise ValueError(f"{self.task}/{self.photos} lacks the cell of batch 1 with one instance busy")
        return self

    def cell(self, batch: int, busy: int = 1) -> Cell | None:
        """One cell of the table, if it was measured."""
        return next((cell for cell in self.service if (cell.batch, cell.busy) == (batch, busy)), None)

    def alone_ms(self, batch: int) -> float:
        """Service time of a batch with no other instance busy: between measured sizes and past the last a line."""
        known = [(cell.batch, cell.ms) for size in self.batches if (cell := self.cell(size))]
        if len(known) == 1:
            return known[0][1] * batch
        at = min(max(bisect_left([size for size, _ in known], batch), 1), len(known) - 1)
        (low, first), (high, second) = known[at - 1], known[at]
        return first + (second - first) * (batch - low) / (high - low)

    def nearest(self, batch: int) -> int:
        """The measured batch size that is nearest."""
        return min(self.batches, key=lambda size: abs(size - batch))


class Curves(_Part):
    """One machine."""

    name: str
    measured: str | None
    """Day of the measurement; None: assumed, and ``note`` says from what."""
    note: str
    processor: str
    cores: int = Field(ge=1)
    """Of the machine that was measured, as the operating system counts them."""
    physical_cores: int = Field(ge=1)
    device: Literal["cpu", "gpu"] = "cpu"
    """Where the networks run. On a GPU an instance's time is no CPU time."""
    fsync_ms: tuple[float, ...] = Field(min_length=1)
    """Quantiles of writing a small record and fsync, evenly spaced from the fastest to the slowest."""
    record_bytes: int = Field(900, ge=1)
    """Of one record in the journal."""
    profiles: tuple[Profile, ...] = Field(min_length=1)

    def profile(self, task: Task, photos: str) -> Profile:
        """Raises BadInput if it was not measured."""
        for one in self.profiles:
            if (one.task, one.photos) == (task, photos):
                return one
        known = ", ".join(f"{one.task}/{one.photos}" for one in self.profiles)
        raise BadInput(f"The curves of {self.name} have no {task} on {photos} photos; they have {known}.")


def read_curves(path: Path) -> Curves:
    """A file of curves. Raises BadInput."""
    try:
        return Curves.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"The curves {path} cannot be read ({error.strerror}): measure them, or give --curves."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(f"{path} does not hold curves: {where}: {first['msg']}. See docs/planning.md.") from None


def quantiles(samples: Sequence[float], number: int) -> tuple[float, ...]:
    """``number`` (2 or more) quantiles of the samples, evenly spaced from the least to the greatest."""
    ordered = sorted(samples)
    last = len(ordered) - 1
    return tuple(ordered[round(last * at / (number - 1))] for at in range(number))
