"""Errors on gRPC: a status code, the sentence, and google.rpc details that a program can read."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway.edge.status import grpc_status
from gateway.errors import BestiaryError

DOMAIN = "bestiary"
log = logging.getLogger(__name__)

Reply = TypeVar("Reply")


def to_status(error: BestiaryError) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and RetryInfo where trying again helps."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        packed.append(any_pb2.Any())
        packed[-1].Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=code_pb2.Code.Value(grpc_status(error).name), message=str(error), details=packed)


async def fail(context: grpc.aio.ServicerContext, error: BestiaryError) -> NoReturn:
    """End the call with ``error``."""
    if error.__cause__ is not None:
        log.warning("%s (%s)", error.reason, " ".join(str(error.__cause__).split()))
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")  # it always raises


async def guarded(work: Awaitable[Reply]) -> Reply:
    """Await ``work``; what it raises is a BestiaryError, whatever went wrong, and nothing internal is in it."""
    try:
        return await work
    except (BestiaryError, grpc.aio.AbortError):
        raise
    except Exception:
        log.exception("unexpected error in a gRPC call")
        raise BestiaryError("An internal error: tell the operator; the gateway's log has it.") from None


Unary = Callable[[Any, Any, grpc.aio.ServicerContext], Awaitable[Reply]]


def unary(handler: Unary[Reply]) -> Unary[Reply]:
    """Wrap a unary handler: errors become statuses."""

    @wraps(handler)
    async def wrapped(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Reply:
        try:
            return await guarded(handler(self, request, context))
        except BestiaryError as error:
            await fail(context, error)

    return wrapped
