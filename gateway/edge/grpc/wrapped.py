"""A gRPC handler with another behaviour and the same serialisers."""

from __future__ import annotations

from typing import Any

import grpc


def wrapped(handler: Any, one: Any, many: Any) -> Any:
    """``handler`` with the behaviour ``one``, or ``many`` (an asynchronous generator) where replies are a stream."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(
        many if handler.response_streaming else one,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
