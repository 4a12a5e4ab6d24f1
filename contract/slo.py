"""The service level objectives, read from the one OpenSLO file (https://openslo.com, apiVersion ``openslo/v1``).

The file is YAML in JSON notation (YAML 1.2 is a superset of JSON), documents parted by lines of ``---``, so that the
gateway needs no YAML parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LATENCY: Final = "interactive-latency"
AVAILABILITY: Final = "answered"
"""``metadata.name`` of the objectives."""


class SloError(ValueError):
    """The file is not what is read here; the message says where."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised."""

    latency_s: float
    """An admitted interactive photo is answered within so many seconds ..."""
    latency_share: float
    """... in this share of cases: 0.99 makes ``latency_s`` a p99."""
    availability: float
    """Share of photos that are not failed by the service itself."""


def read_slo(path: Path) -> Slo:
    """The objectives in an OpenSLO file. Raises SloError for another content, OSError."""
    try:
        documents = [json.loads(part) for part in re.split(r"(?m)^---\s*$", path.read_text("utf-8")) if part.strip()]
        objectives = {item["metadata"]["name"]: _objective(item) for item in documents if item["kind"] == "SLO"}
        latency, available = objectives[LATENCY], objectives[AVAILABILITY]
        slo = Slo(float(latency["value"]), float(latency["target"]), float(available["target"]))
        if latency["op"] != "lte":
            raise SloError(f"{path}: the objective of {LATENCY} must have the op lte.")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, SloError):
            raise
        raise SloError(
            f"{path} does not hold the objectives {LATENCY} and {AVAILABILITY} of OpenSLO v1 in JSON notation: "
            "compare it with deploy/slo/bestiary.yaml of this version."
        ) from error
    if not (slo.latency_s > 0 and 0 < slo.latency_share < 1 and 0 < slo.availability < 1):
        raise SloError(f"{path}: the latency must be positive seconds, both targets shares between 0 and 1.")
    return slo


def _objective(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["apiVersion"] != "openslo/v1":
        raise SloError(f"{document['metadata']['name']} is not of apiVersion openslo/v1.")
    objective: Mapping[str, Any] = document["spec"]["objectives"][0]
    return objective
