"""Why an export cannot be written."""

from __future__ import annotations


class InterchangeError(ValueError):
    """A fact that the format needs is not there, or what was given for it is wrong; ``str()`` says what to do."""
