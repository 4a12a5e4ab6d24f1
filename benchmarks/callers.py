"""Callers of ``bestiary.v1`` in a closed loop, who remember when each call began and how it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import grpc

from benchmarks.photos import PhotoSet, different
from benchmarks.stack import StackError
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub

CALL_TIMEOUT_S: Final = 30.0
AFTER_FAILURE_S: Final = 0.05
"""A caller's wait after a failure: shorter than the hint of the service, so that the end of an outage is seen."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Times are of the monotonic clock, seconds; ``code`` is gRPC's name, ``record_id`` '' on failure."""

    began: float
    ended: float
    code: str
    record_id: str

    @property
    def seconds(self) -> float:
        """How long the caller waited."""
        return self.ended - self.began


class Callers:
    """``number`` threads, each with a channel of its own, from ``__enter__`` to ``__exit__``."""

    def __init__(self, address: str, photos: PhotoSet, number: int) -> None:
        self._address = address
        self._photos = different(photos.photos)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"caller-{index}") for index in range(number)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def calls(self) -> list[Call]:
        """All calls that have ended, in the order of their ends."""
        with self._lock:
            return list(self._calls)

    def wait_answered(self, more: int, limit_s: float) -> None:
        """Return when ``more`` further photos have been answered. Raises StackError."""
        done = self._answered()
        self._wait(lambda: self._answered() >= done + more, limit_s, "photos were not answered")

    def wait_failed_since(self, moment: float, limit_s: float) -> None:
        """Return when a call has failed after ``moment``. Raises StackError."""
        self._wait(
            lambda: any(call.ended > moment and not call.record_id for call in self.calls()), limit_s, "no call failed"
        )

    def _answered(self) -> int:
        return sum(1 for call in self.calls() if call.record_id)

    def _wait(self, condition: Callable[[], bool], limit_s: float, complaint: str) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise StackError(f"For {limit_s:.0f} s {complaint}: see the stack's logs.")
            time.sleep(0.05)

    def _run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            stub = BestiaryStub(channel)
            while not self._stopping.is_set():
                with self._lock:
                    photo = next(self._photos)
                call = _call(stub, photo)
                with self._lock:
                    self._calls.append(call)
                if not call.record_id:
                    time.sleep(AFTER_FAILURE_S)


def _call(stub: BestiaryStub, photo: bytes) -> Call:
    began = time.monotonic()
    try:
        reply = stub.Classify(pb.ClassifyRequest(photo=photo), timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        return Call(began, time.monotonic(), error.code().name, "")
    return Call(began, time.monotonic(), grpc.StatusCode.OK.name, reply.classification.id)
