"""Which releases every live model server has loaded, by what their sync agents report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from pydantic import ValidationError

from contract.rollout import GatewayReport, ReplicaReport

LIVE_FOR: Final = timedelta(seconds=15)
"""A part whose report is older is gone, and nobody waits for it."""

log = logging.getLogger(__name__)

_R = TypeVar("_R", ReplicaReport, GatewayReport)


def live(kind: type[_R], reports: Mapping[str, str], now: datetime) -> tuple[_R, ...]:
    """The reports of parts that are there, by name. ``now``: UTC."""
    found = []
    for name, text in sorted(reports.items()):
        try:
            report = kind.model_validate_json(text)
            fresh = now - datetime.fromisoformat(report.at) < LIVE_FOR
        except (ValidationError, ValueError, TypeError):  # TypeError: a time without a zone
            log.warning("the report of %s cannot be read", name)
            continue
        if fresh:
            found.append(report)
    return tuple(found)


def missing(identity: str, replicas: Sequence[ReplicaReport]) -> tuple[str, ...]:
    """Names of replicas that have not loaded a release."""
    return tuple(report.replica for report in replicas if identity not in report.loaded)


def loaded_by_all(identity: str, replicas: Sequence[ReplicaReport]) -> bool:
    """Whether there are live replicas and each has the release."""
    return bool(replicas) and not missing(identity, replicas)
