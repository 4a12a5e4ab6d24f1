"""How a photo is sent and its answer read, by protocol. What a request needs is made ready before the run."""

from __future__ import annotations

from loadtest.plan import Plan, Protocol
from loadtest.wire.reply import Sender


def sender(protocol: Protocol, plan: Plan) -> Sender:
    """Who speaks ``protocol`` to the plan's target. Imports gevent's clients, so only for processes that send."""
    from loadtest.wire import over_grpc, over_http

    match protocol:
        case Protocol.GRPC:
            return over_grpc.BestiarySender(plan)
        case Protocol.KSERVE_GRPC:
            return over_grpc.KServeSender(plan)
        case Protocol.HTTP:
            return over_http.RestSender(plan)
        case Protocol.KSERVE:
            return over_http.KServeHttpSender(plan)
