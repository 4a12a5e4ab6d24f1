"""A stand-in for the service that speaks its REST API on a free port, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from contract.ids import new_id
from contract.record import Photo, Record, SpeciesScore, Timings, Verdict

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
PATH = "/v1/classifications"

Reply = tuple[int, dict[str, str], bytes]


def lion(filename: str | None = None, verdict: Verdict = Verdict.ANIMAL, minute: int = 0, photo: bytes = b"") -> Record:
    """A record as release 1 answers it."""
    received_at = START + timedelta(minutes=minute)
    best = SpeciesScore(
        key="lion", common_name="lion", rank="species", class_="Mammalia", order="Carnivora", family="Felidae",
        genus="Panthera", species="Panthera leo", score=0.9731,
    )  # fmt: skip
    wider = SpeciesScore(
        key="cat", common_name="some cat", rank="family", class_="Mammalia", order="Carnivora", family="Felidae",
        genus="", species="", score=0.0123,
    )  # fmt: skip
    sha256 = hashlib.sha256(photo).hexdigest() if photo else "ab" * 32
    facts = Photo(
        sha256=sha256, blob="uploads/ab/ab.jpg", filename=filename, format="JPEG", width=1920, height=1080,
        size_bytes=123456, captured_at=datetime(2026, 10, 31, 6, 30),
    )  # fmt: skip
    return Record(
        id=new_id(int(received_at.timestamp() * 1000)), received_at=received_at, verdict=verdict,
        species=(best, wider), count=2, counts={"lion": 2}, photo=facts, release="1@0123456789ab",
        timings_ms=Timings(decode=1, classify=2, model=3, triton=4, total=5),
    )  # fmt: skip


def problem(status: int, code: str, detail: str, retryable: bool = False, **headers: str) -> Reply:
    body = {"title": "Title", "status": status, "code": code, "detail": detail, "retryable": retryable}
    return status, {"Content-Type": "application/problem+json", **headers}, json.dumps(body).encode()


class Stub:
    """The service's state; tests set it and look at what came in."""

    page_size = 2  # smaller than any page that is asked for, so that several are read
    problem = staticmethod(problem)
    record = staticmethod(lion)

    def __init__(self) -> None:
        self.ready = True
        self.listening = False
        self.records: list[Record] = []
        self.photos: list[bytes] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.refusals: dict[bytes, list[Reply]] = {}
        """Body -> what it is answered with, one after the other, before it is classified."""
        self.before_answer: Callable[[bytes], None] = lambda photo: None
        self.answers: Callable[[bytes], Record] = lambda photo: lion()
        """Body -> its record, but for what is known of the photo itself."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self), bind_and_activate=False)
        self.server.server_bind()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def listen(self) -> None:
        self.server.server_activate()
        self.listening = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        if self.listening:
            self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Reply:
        if path == "/livez":
            return _json(200, {"status": "alive"})
        if path == "/readyz":
            checks = {"triton": "ok" if self.ready else "restarting", "gateway": "ok"}
            return _json(200 if self.ready else 503, {"status": "ready", "checks": checks})
        if path == PATH:
            return self._classify(query, body) if method == "POST" else self._list(query)
        return self._get(*path.removeprefix(f"{PATH}/").partition("/")[::2])

    def _classify(self, query: dict[str, str], photo: bytes) -> Reply:
        self.photos.append(photo)
        self.queries.append(query)
        self.before_answer(photo)
        if self.refusals.get(photo):
            return self.refusals[photo].pop(0)
        record = self.answers(photo).model_copy(update={"photo": lion(query.get("filename"), photo=photo).photo})
        self.records.insert(0, record)
        return 201, {"Content-Type": "application/json"}, record.model_dump_json(by_alias=True).encode()

    def _list(self, query: dict[str, str]) -> Reply:
        self.queries.append(query)
        start = int(query.get("page_token", "0"))
        stop = start + min(self.page_size, int(query["limit"]))
        page = [json.loads(record.model_dump_json(by_alias=True)) for record in self.records[start:stop]]
        more = str(stop) if stop < len(self.records) else ""
        return _json(200, {"classifications": page, "next_page_token": more})

    def _get(self, record_id: str, rest: str) -> Reply:
        record = next((record for record in self.records if str(record.id) == record_id), None)
        if record is None:
            return problem(404, "not_found", "No record has this id.")
        if rest == "photo":
            return 200, {"Content-Type": "image/jpeg"}, b"the photo"
        return 200, {"Content-Type": "application/json"}, record.model_dump_json(by_alias=True).encode()


def _json(status: int, body: object) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.headers.append(dict(self.headers))
            status, headers, answer = stub.answer(self.command, url.path, query, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(answer)))
            with suppress(ConnectionError):  # a caller that was stopped does not wait for its answer
                self.end_headers()
                self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def silent_stub() -> Iterator[Stub]:
    """Has its port, but does not listen until told: connections are refused."""
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture
def stub(silent_stub: Stub) -> Stub:
    silent_stub.listen()
    return silent_stub


@pytest.fixture
def environment() -> dict[str, str]:
    """For the command: colours asked for, as many build machines do; a pipe must stay plain all the same."""
    return {**os.environ, "FORCE_COLOR": "1", "PYTHONWARNINGS": "error"}


def _heed_ctrl_c() -> None:
    """A shell's background jobs ignore SIGINT, and so would what is started from tests in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start ``bestiary ARGUMENTS...`` without waiting for it."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli", *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        with process:
            process.kill()


@pytest.fixture
def bestiary(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``bestiary ARGUMENTS...`` to its end, in this process: starting one takes a second."""

    def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        command = [*map(str, arguments)]
        result = CliRunner(env=environment).invoke(app, command, input=stdin, prog_name="bestiary", color=False)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos in two folders, among what must be left alone."""
    top = tmp_path / "card"
    for name in ("b.JPG", "a.png", "sub/c.webp", "sub/d.TIFF", "sub/deep/e.gif"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    for name in ("notes.txt", ".hidden.jpg", ".thumbs/f.jpg", "sub/._c.webp"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"not for you")
    return top
