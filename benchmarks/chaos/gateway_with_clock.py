"""``python -m benchmarks.chaos.gateway_with_clock``: the gateway as it is, on a wall clock that can be stepped.

The offset in seconds is read from the file that ``CHAOS_CLOCK`` names; the monotonic clock stays the machine's.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import gateway.server
from gateway.__main__ import main
from gateway.clock import SystemClock


class SteppedClock(SystemClock):
    """The system's clock, and what the file says."""

    def now(self) -> datetime:
        """UTC, off by the file's number of seconds."""
        try:
            offset = float(Path(os.environ["CHAOS_CLOCK"]).read_text())
        except (OSError, ValueError):
            offset = 0.0
        return super().now() + timedelta(seconds=offset)


if __name__ == "__main__":
    gateway.server.SystemClock = SteppedClock  # type: ignore[misc]
    sys.exit(main())
