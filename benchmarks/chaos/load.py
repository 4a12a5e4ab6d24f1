"""Mixed load: photos by REST, gRPC and KServe v2, good and bad, and reads of what was acknowledged."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import httpx
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from benchmarks.chaos.ledger import CUT, UNTYPED, Call, Ledger
from benchmarks.photos import different
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub

TIMEOUT_S: Final = 10.0
AFTER_FAILURE_S: Final = 0.1
BAD_SHARE: Final = 0.08
READ_SHARE: Final = 0.15
BAD: Final = b"this is no photo, and it is number "
TASKS: Final = ("species", "species", "species", "count", "full")


_TASKS: Final = {"species": pb.TASKS_SPECIES, "count": pb.TASKS_COUNT, "full": pb.TASKS_FULL}


@dataclass(frozen=True, slots=True)
class Address:
    """Where one gateway listens."""

    number: int
    http: str
    grpc: str


class Load:
    """Callers from ``__enter__`` to ``__exit__``, each in a thread, in a closed loop with pauses."""

    def __init__(
        self, addresses: Sequence[Address], photos: Sequence[bytes], ledger: Ledger, *, callers: int, pause_s: float,
        seed: int,
    ) -> None:  # fmt: skip
        self._addresses = addresses
        self._ledger = ledger
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._photos = _mixed(different(photos), random.Random(seed))
        self._stopping = threading.Event()
        edges = itertools.cycle((self._rest, self._grpc, self._kserve))
        self._threads = [
            threading.Thread(target=next(edges), args=(addresses[n % len(addresses)], random.Random(f"{seed}-{n}")))
            for n in range(callers)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[bytes, str]:
        with self._lock:
            photo = next(self._photos)
        return photo, hashlib.sha256(photo).hexdigest()

    def _rest(self, address: Address, chance: random.Random) -> None:
        with httpx.Client(base_url=address.http, timeout=TIMEOUT_S) as client:
            while not self._stopping.is_set():
                if chance.random() < READ_SHARE:
                    self._read(client, address, chance)
                    continue
                photo, sha256 = self._next()
                params = {"tasks": chance.choice(TASKS), "ack": "durable"}

                def post(body: bytes = photo, params: dict[str, str] = params) -> str:
                    return _rest_id(client.post("/v1/classifications", content=body, params=params))

                self._note("rest", address, sha256, post)

    def _read(self, client: httpx.Client, address: Address, chance: random.Random) -> None:
        """A record that this gateway acknowledged must be there at once, drained or not."""
        mine = [call for call in self._ledger.acknowledged()[-200:] if call.gateway == address.number]
        if not mine:
            self._stopping.wait(self._pause_s)
            return
        call = chance.choice(mine)
        path = f"/v1/classifications/{call.record_id}"
        self._note("rest", address, call.sha256, lambda: _rest_id(client.get(path)), read=True)

    def _grpc(self, address: Address, chance: random.Random) -> None:
        with grpc.insecure_channel(address.grpc, options=(("grpc.max_reconnect_backoff_ms", 500),)) as channel:
            stub = BestiaryStub(channel)
            while not self._stopping.is_set():
                photo, sha256 = self._next()
                request = pb.ClassifyRequest(photo=photo, tasks=_TASKS[chance.choice(TASKS)])

                def call(request: Any = request) -> str:
                    return str(stub.Classify(request, timeout=TIMEOUT_S).classification.id)

                self._note("grpc", address, sha256, call)

    def _kserve(self, address: Address, chance: random.Random) -> None:
        with httpx.Client(base_url=address.http, timeout=TIMEOUT_S) as client:
            while not self._stopping.is_set():
                photo, sha256 = self._next()
                tasks = chance.choice(TASKS)

                def infer(photo: bytes = photo, tasks: str = tasks) -> str:
                    return _kserve_id(client, photo, tasks)

                self._note("kserve", address, sha256, infer)

    def _note(self, edge: str, address: Address, sha256: str, work: Callable[[], str], *, read: bool = False) -> None:
        began, record_id = time.monotonic(), ""
        try:
            record_id, code = work(), "ok"
        except _Refused as refusal:
            code = str(refusal)
        except httpx.TransportError:
            code = CUT
        except grpc.RpcError as error:
            code = _grpc_code(error)
        self._ledger.add(Call(began, time.monotonic(), edge, address.number, sha256, code, record_id, read))
        self._stopping.wait(self._pause_s if code == "ok" else max(self._pause_s, AFTER_FAILURE_S))


class _Refused(Exception):
    """An error of the service; its text is the code."""


def _rest_id(response: httpx.Response) -> str:
    if response.is_success:
        return str(response.json()["id"])
    raise _Refused(_code(response))


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return UNTYPED


def _kserve_id(client: httpx.Client, photo: bytes, tasks: str) -> str:
    """Binary tensor extension of KServe v2 over HTTP; the record's id comes in the reply's parameters."""
    data = len(photo).to_bytes(4, "little") + photo
    tensor = {
        "name": "PHOTO", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    head = json.dumps(
        {
            "inputs": [tensor],
            "outputs": [{"name": "STATUS", "parameters": {"binary_data": False}}],
            "parameters": {"tasks": tasks},
        }
    ).encode()
    response = client.post(
        "/v2/models/animals/infer",
        content=head + data,
        headers={"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"},
    )
    if not response.is_success:
        raise _Refused(_code(response))
    record_ids = response.json().get("parameters", {}).get("record_ids", "")
    if not record_ids:
        raise _Refused(UNTYPED)
    return str(record_ids)


def _grpc_code(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return CUT
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "deadline_exceeded"  # the client's own clock
    return UNTYPED


def _mixed(photos: Iterator[bytes], chance: random.Random) -> Iterator[bytes]:
    """All different; some are no photos."""
    for number in itertools.count():
        yield BAD + str(number).encode() if chance.random() < BAD_SHARE else next(photos)
