"""What a gRPC call says beside its message."""

from __future__ import annotations

from typing import Final

import grpc

from contract.priority import Priority
from gateway.errors import InvalidRequest

PRIORITY_KEY: Final = "bestiary-priority"
"""Metadata with the priority of a call of bestiary.v1: ``interactive`` or ``batch``."""


def time_left_s(context: grpc.aio.ServicerContext) -> float | None:
    """Seconds until the call's own deadline; None where the caller set none (gRPC then says years)."""
    left = context.time_remaining()
    return None if left is None or left > 86400 else max(left, 1e-6)


def caller_of(context: grpc.aio.ServicerContext) -> str:
    """Whose share of the service a call takes: the address of the peer without its port."""
    peer: str = context.peer()
    return peer.rpartition(":")[0] if peer.startswith("ipv") else peer


def priority_of(context: grpc.aio.ServicerContext, default: Priority) -> Priority:
    """The priority in a call's metadata. Raises InvalidRequest."""
    given = dict(context.invocation_metadata() or ()).get(PRIORITY_KEY)
    try:
        return default if given is None else Priority(given)
    except ValueError:
        raise InvalidRequest(f"The metadata {PRIORITY_KEY} must be one of {', '.join(Priority)}.") from None
