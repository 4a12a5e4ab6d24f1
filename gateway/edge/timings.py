"""Where an answer's time went, as every edge says it: ``Server-Timing`` (W3C Server Timing)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SERVER_TIMING: Final = "server-timing"
"""A header over HTTP, trailing metadata over gRPC; what the stages mean stands at ``contract.record.Timings``."""


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """Stages and their milliseconds, e.g. ``edge;dur=0.21, total;dur=14.8``; stages that took none are left out."""
    return ", ".join([f"{stage};dur={ms:.2f}" for stage, ms in timings_ms.items() if ms])
