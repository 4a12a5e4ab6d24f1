"""What a caller may ask of one photo beside its bytes: the task and the thresholds.

They travel as request parameters (KServe v2 ``parameters``) to the model ``animals`` and are checked by
the same code at the edge and in the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final


class Task(StrEnum):
    """How much to find out, from cheap to dear."""

    SPECIES = "species"
    """What the whole photo shows. No boxes, no count."""
    COUNT = "count"
    """How many animals, and where. No names."""
    FULL = "full"
    """Every animal with its name."""


TASKS: Final = "tasks"
"""Name of the request parameter."""


class OptionsError(ValueError):
    """A parameter cannot be used; ``str()`` is safe to show and says what to send."""


@dataclass(frozen=True, slots=True)
class Options:
    """One photo's options; a threshold that is None is the release's (``contract.release.Thresholds``)."""

    tasks: Task = Task.FULL
    detect_from: float | None = None
    overlap: float | None = None
    sure_from: float | None = None
    empty_from: float | None = None

    def parameters(self) -> dict[str, str | float]:
        """What differs from the defaults, by parameter name."""
        given: dict[str, str | float] = {
            name: value for name in THRESHOLDS if (value := getattr(self, name)) is not None
        }
        return given if self.tasks is Task.FULL else {TASKS: self.tasks.value, **given}


DEFAULTS: Final = Options()

THRESHOLDS: Final = tuple(field.name for field in fields(Options) if field.name != TASKS)
"""Names of the thresholds that a request may set."""


def read_options(parameters: Mapping[str, Any]) -> Options:
    """The options in request parameters; names that are not ours are left to others. A number may come as text.

    Raises OptionsError for an unknown task or a threshold that is no share.
    """
    task = parameters.get(TASKS, Task.FULL)
    if task not in tuple(Task):
        raise OptionsError(f"The parameter {TASKS} must be one of {', '.join(Task)}.")
    return Options(Task(task), **{name: _share(name, parameters[name]) for name in THRESHOLDS if name in parameters})


def _share(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise OptionsError(f"The parameter {name} must be a number from 0 to 1.")
    return number
