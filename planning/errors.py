"""What can be wrong with a plan.

PlanError                ``str()`` is one sentence for the person at the terminal
 ├── BadInput            a file or a name that cannot be used; the message says what can
 └── CannotMeet          no number of machines meets what is asked
"""

from __future__ import annotations


class PlanError(Exception):
    """Base of all."""


class BadInput(PlanError):
    """Curves, prices or a size of machine that cannot be read or are not known."""


class CannotMeet(PlanError):
    """More machines do not help: one photo on an idle one is too slow, or it takes more of them than are considered."""
