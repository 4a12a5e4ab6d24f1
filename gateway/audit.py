"""One line of JSON for each act that only an admin may do: who, what, when, outcome. Never a secret.

The lines go to the logger ``bestiary.audit`` whatever the log level is, by default to standard error, or to a file
of their own (``BESTIARY_AUDIT_FILE``), which may be rotated from outside.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final

LOGGER: Final = logging.getLogger("bestiary.audit")


def audit(who: str, action: str, target: str, *, outcome: str = "ok", at: datetime | None = None) -> None:
    """Write one line. ``who`` is an owner or a user of this machine, ``action`` a stable word such as
    ``record.read``, ``target`` what it was done to, ``outcome`` ``ok`` or an error's code."""
    moment = (at or datetime.now(UTC)).isoformat(timespec="milliseconds")
    line = {"at": moment, "who": who, "action": action, "target": target, "outcome": outcome}
    LOGGER.info("%s", json.dumps(line))


def open_audit_log(path: Path | None) -> logging.Handler:
    """Send audit lines to ``path``, or to standard error; returns the handler, to be closed. Raises OSError."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr) if path is None else WatchedFileHandler(path)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    return handler
