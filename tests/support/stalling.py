"""Stand-ins for the service on both wires that answer at once, and stand still for a while when they are told to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryServicer, add_BestiaryServicer_to_server

JPEG = b"\xff\xd8"
SERVICE_S = 0.002
THREADS = 256
TIMINGS_MS = {"decode": 0.5, "classify": 1.0, "model": 1.6, "triton": 1.8, "total": 2.0}


@dataclass
class Stall:
    """Everybody who comes between photo ``at`` and ``seconds`` later waits until then, as behind a process that was
    stopped."""

    at: int = -1
    seconds: float = 0.0
    photos: list[bytes] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, photo: bytes) -> bool:
        """Take one photo's time; whether it is a JPEG."""
        with self._lock:
            self.photos.append(photo)
            if len(self.photos) == self.at:
                self._until = time.monotonic() + self.seconds
        time.sleep(max(self._until - time.monotonic(), SERVICE_S))
        return photo.startswith(JPEG)


class _Grpc(BestiaryServicer):
    def __init__(self, stall: Stall) -> None:
        self._stall = stall

    def Classify(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        self._stall.credentials |= {value for name, value in context.invocation_metadata() if name == "x-api-key"}
        if not self._stall.serve(request.photo):
            detail = any_pb2.Any()
            detail.Pack(error_details_pb2.ErrorInfo(reason="not_an_image", domain="bestiary"))
            refusal = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="No photo.", details=[detail])
            context.abort_with_status(rpc_status.to_status(refusal))
        context.set_trailing_metadata((("server-timing", "journal;dur=0.25"),))
        return pb.ClassifyResponse(classification=pb.Classification(timings_ms=pb.Timings(**TIMINGS_MS)))


@contextmanager
def stalling_grpc(stall: Stall, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """``bestiary.v1`` on a free port: its target."""
    server = grpc.server(ThreadPoolExecutor(THREADS))
    add_BestiaryServicer_to_server(_Grpc(stall), server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"{'grpcs' if credentials else 'grpc'}://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def stalling_http(stall: Stall, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """REST on a free port: its target."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            photo = self.rfile.read(int(self.headers["Content-Length"]))
            stall.credentials.add(self.headers.get("X-API-Key", ""))
            if stall.serve(photo):
                self._answer(201, {"timings_ms": TIMINGS_MS})
            else:
                self._answer(415, {"code": "not_an_image"})

        def do_GET(self) -> None:
            self._answer(404, {"code": "not_found"})

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Server-Timing", "journal;dur=0.25")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
