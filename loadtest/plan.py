"""What one run does, as it is told to the processes that send."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from contract.options import Task
from contract.priority import Priority
from loadtest.photos import Kind
from loadtest.schedule import Arrivals, Schedule

MAX_OPEN: Final = 900
"""Photos of one process that may be under way; more are not sent, which makes the run invalid."""


class TargetError(ValueError):
    """A target that cannot be spoken to; the message says what to give."""


class Protocol(StrEnum):
    """What a user speaks."""

    GRPC = "grpc"
    """bestiary.v1 over gRPC."""
    HTTP = "http"
    """REST."""
    KSERVE = "kserve"
    """KServe v2 over HTTP, with binary tensors."""
    KSERVE_GRPC = "kserve-grpc"
    """KServe v2 over gRPC."""

    @property
    def over_grpc(self) -> bool:
        """Which of the two ports it needs."""
        return self in (Protocol.GRPC, Protocol.KSERVE_GRPC)

    @property
    def edge(self) -> str:
        """The label ``edge`` of the service's metrics."""
        return "kserve_http" if self is Protocol.KSERVE else self.value.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a service listens."""

    host: str
    port: int
    tls: bool

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Targets:
    """One URL for each transport that is used."""

    http: Target | None = None
    grpc: Target | None = None

    def of(self, protocol: Protocol) -> Target:
        """Where ``protocol`` is spoken. Raises TargetError."""
        target = self.grpc if protocol.over_grpc else self.http
        if target is None:
            example = "grpc://127.0.0.1:8081" if protocol.over_grpc else "http://127.0.0.1:8080"
            raise TargetError(f"Users of {protocol} need a target like {example}: give it too.")
        return target


def read_targets(texts: list[str]) -> Targets:
    """Targets from URLs ``http://``, ``https://``, ``grpc://`` and ``grpcs://`` (gRPC over TLS). Raises TargetError."""
    found: dict[str, Target] = {}
    for text in texts:
        try:
            url = urlsplit(text if "://" in text else f"grpc://{text}")
            port = url.port
        except ValueError as error:
            raise TargetError(f"{text!r} is not a URL: {error}.") from None
        kind = {"http": "http", "https": "http", "grpc": "grpc", "grpcs": "grpc"}.get(url.scheme)
        if kind is None or not url.hostname or (kind == "grpc" and port is None) or url.path not in ("", "/"):
            raise TargetError(
                f"{text!r} is no target: give http://HOST:PORT or grpc://HOST:PORT (https, grpcs for TLS)."
            )
        if kind in found:
            raise TargetError(f"There are two targets for {kind}: give one of each.")
        tls = url.scheme in ("https", "grpcs")
        found[kind] = Target(url.hostname, port or (443 if tls else 80), tls)
    return Targets(**found)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The same plan and seed send the same photos at the same times."""

    targets: Targets
    schedule: Schedule
    mix: Mapping[Kind, float]
    users: Mapping[Protocol, float]
    """Shares by protocol."""
    seed: int = 0
    tasks: Task = Task.SPECIES
    priority: Priority = Priority.INTERACTIVE
    timeout_s: float = 5.0
    """Deadline of one photo."""
    callers: int = 0
    """0 for the open loop; else so many callers, each of whom waits for his answer before he sends the next."""
    workers: int = 0
    """Processes that send under a master; 0 is one process that does it alone."""

    def __post_init__(self) -> None:
        for protocol in self.users:
            self.targets.of(protocol)

    def dump(self) -> dict[str, Any]:
        """For the wire to another process. Credentials are never in it: see :func:`credentials`."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def public(self) -> dict[str, Any]:
        """For files and people."""
        told = self.dump()
        told["schedule"]["trace"] = len(self.schedule.trace)
        return told


def credentials() -> dict[str, str]:
    """Headers that say who calls, from this process's environment: BESTIARY_TOKEN, else BESTIARY_API_KEY."""
    if token := os.environ.get("BESTIARY_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    key = os.environ.get("BESTIARY_API_KEY")
    return {"X-API-Key": key} if key else {}


def authorities() -> Path | None:
    """File of the certificate authorities to trust instead of the usual ones: SSL_CERT_FILE, as everywhere here."""
    file = os.environ.get("SSL_CERT_FILE")
    return Path(file) if file else None


def load_plan(told: Mapping[str, Any]) -> Plan:
    """The inverse of :meth:`Plan.dump`."""
    targets = {name: Target(**target) if target else None for name, target in told["targets"].items()}
    schedule = told["schedule"] | {"trace": tuple(told["schedule"]["trace"])}
    return Plan(
        targets=Targets(**targets),
        schedule=Schedule(**schedule | {"arrivals": Arrivals(schedule["arrivals"])}),
        mix={Kind(name): share for name, share in told["mix"].items()},
        users={Protocol(name): share for name, share in told["users"].items()},
        tasks=Task(told["tasks"]),
        priority=Priority(told["priority"]),
        **{name: told[name] for name in ("seed", "timeout_s", "callers", "workers")},
    )
