"""Which releases every live model server has loaded, by what their sync agents report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from contract.rollout import ReplicaReport

LIVE_FOR: Final = timedelta(seconds=15)
"""A replica whose report is older is gone, and nobody waits for it."""

log = logging.getLogger(__name__)


def live_replicas(reports: Mapping[str, str], now: datetime) -> tuple[ReplicaReport, ...]:
    """The reports of replicas that are there. ``now``: UTC."""
    live = []
    for name, text in reports.items():
        try:
            report = ReplicaReport.model_validate_json(text)
            fresh = now - datetime.fromisoformat(report.at) < LIVE_FOR
        except (ValidationError, ValueError, TypeError):  # TypeError: a time without a zone
            log.warning("the report of replica %s cannot be read", name)
            continue
        if fresh:
            live.append(report)
    return tuple(live)


def loaded_by_all(identity: str, live: tuple[ReplicaReport, ...]) -> bool:
    """Whether there are live replicas and each has the release."""
    return bool(live) and all(identity in report.loaded for report in live)
