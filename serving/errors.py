"""Errors of starting and watching Triton.

ServingError
 ├── NetworkError         a network cannot be loaded as the configuration of `animals` says
 ├── PreflightError       this machine cannot run it; the message is one sentence on what to do
 └── TritonStartError     it was started and did not become ready
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of all errors of ``serving``; ``str()`` is one sentence for the person at the terminal."""


class NetworkError(ServingError):
    """The engine that the configuration names does not exist or is not installed."""


class PreflightError(ServingError):
    """Something that must be there before Triton can start is missing."""


class TritonStartError(ServingError):
    """Triton exited or did not become ready in time."""
