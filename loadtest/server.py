"""What the server says of itself before and after a run, where it can be asked: the gateway's metrics and Triton's
statistics. Nothing depends on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from contract.tensors import ANIMALS

TIMEOUT_S: Final = 5.0
STAGE_METRIC: Final = "bestiary_stage_seconds"
_SAMPLE: Final = re.compile(r'^(\w+)\{stage="([^"]+)"\} (\S+)$')


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters at one moment; empty where nobody answered."""

    stage_s: Mapping[str, float] = field(default_factory=dict)
    stage_count: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[int, int] = field(default_factory=dict)
    """Executions of the model by batch size."""


def snapshot(gateway: str, triton: str, headers: Mapping[str, str]) -> Snapshot:
    """Ask now. ``gateway`` and ``triton``: base URLs, or '' for nobody."""
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=httpx.create_ssl_context()) as client:
        text = _get(client, f"{gateway}/metrics", headers) if gateway else None
        # A release may be served under a name of its own.
        told = _get(client, f"{triton}/v2/models/stats", {}) if triton else None
    totals, counts = _stages(text.text) if text is not None else ({}, {})
    return Snapshot(totals, counts, _batches(told) if told is not None else {})


def difference(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """What happened between two snapshots: mean milliseconds by stage of the gateway, executions by batch size."""
    stages = {
        name: 1e3 * (after.stage_s[name] - before.stage_s.get(name, 0.0)) / count
        for name in after.stage_s
        if (count := after.stage_count.get(name, 0) - before.stage_count.get(name, 0.0)) > 0
    }
    batches = {size: number - before.batches.get(size, 0) for size, number in sorted(after.batches.items())}
    return {
        "gateway_stages_ms": stages,
        "batches": {str(size): number for size, number in batches.items() if number > 0},
    }


def _get(client: httpx.Client, url: str, headers: Mapping[str, str]) -> httpx.Response | None:
    try:
        response = client.get(url, headers=dict(headers))
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return response if response.is_success else None


def _stages(text: str) -> tuple[dict[str, float], dict[str, float]]:
    totals: dict[str, float] = {}
    counts: dict[str, float] = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found and found[1] == f"{STAGE_METRIC}_sum":
            totals[found[2]] = float(found[3])
        elif found and found[1] == f"{STAGE_METRIC}_count":
            counts[found[2]] = float(found[3])
    return totals, counts


def _batches(response: httpx.Response) -> dict[int, int]:
    sizes: dict[int, int] = {}
    try:
        for model in response.json()["model_stats"]:
            if model["name"].startswith(ANIMALS):
                for one in model.get("batch_stats", []):
                    size = int(one["batch_size"])
                    sizes[size] = sizes.get(size, 0) + int(one["compute_infer"]["count"])
    except (KeyError, TypeError, ValueError):
        return {}
    return sizes
