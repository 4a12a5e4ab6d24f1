"""Triton's failures as our errors, whichever protocol they came by."""

from __future__ import annotations

import grpc

from gateway.errors import BestiaryError, DeadlineExceeded, ModelFailed, ModelUnavailable, Overloaded


def fault_of(code: grpc.StatusCode, text: str) -> BestiaryError:
    """What Triton said as one of our errors. Its texts are for the log, never for the caller.

    Triton says UNAVAILABLE both for a full queue and for a request whose queue timeout ran out; the
    two are told apart by their texts (core/src/scheduler_utils.cc of 24.10).
    """
    if code is grpc.StatusCode.UNAVAILABLE and "maximum queue size" in text:
        return Overloaded("The model's queue is full: try again in a moment.", retry_after_s=0.5)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in text.lower():
        return DeadlineExceeded(
            "The model had no time to answer within the deadline: allow more time or send fewer at once."
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded("The model server is out of room: try again in a moment.", retry_after_s=0.5)
    return _unavailable(code, text) or ModelFailed(
        "The model failed on this photo: tell the operator; the gateway's log has the reason."
    )


def _unavailable(code: grpc.StatusCode, text: str) -> ModelUnavailable | None:
    """The model or its server is not there; None if that is not what is said."""
    if code is grpc.StatusCode.NOT_FOUND or "unknown model" in text:
        return ModelUnavailable(
            "The model server has not loaded the model yet: try again in a few seconds.",
            retry_after_s=2.0,
            cause="missing",
        )
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return ModelUnavailable(
            "The model server is away and is being restarted: try again in a few seconds.", retry_after_s=2.0
        )
    if "is not healthy" in text or "Failed to process the request" in text:
        return ModelUnavailable(
            "A model process died and is being restarted: try again.", retry_after_s=1.0, cause="died"
        )
    return None
