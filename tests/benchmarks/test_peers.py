"""The comparison with other servers: arrivals, the search, what a run says, costs, wires, and the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from benchmarks.peers import cost, environments, ours, photos, report
from benchmarks.peers.generator import Generator, GeneratorError, Samples, Target, allowed_late, schedule
from benchmarks.peers.measure import BOUNDS, SYSTEMS, Cell
from benchmarks.peers.running import OURS, variants_of
from benchmarks.peers.search import LIMIT_S, RESOLUTION, Step, best, highest_rate, step_of
from benchmarks.peers.systems import PEERS
from benchmarks.peers.wire import Http, bestiary_grpc, kserve_grpc
from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.priority import Priority
from contract.release import Release
from export.layout import MANIFEST_PATH, file_digests


def queue(capacity: float, servers: int = 2, seconds: float = 30.0, seed: int = 1) -> Callable[[float], Step]:
    """A server in virtual time: first come, first served, each photo takes ``servers / capacity`` seconds."""

    def probe(rate: float) -> Step:
        free, samples = [0.0] * servers, Samples()
        for at in schedule(rate, seconds, seed):
            first = min(range(servers), key=free.__getitem__)
            free[first] = max(at, free[first]) + servers / capacity
            samples.latencies.append(free[first] - at)
        samples.planned = len(samples.latencies)
        return step_of(rate, samples)

    return probe


def test_arrivals_are_as_many_as_the_rate_says_and_have_the_same_bursts_at_every_rate() -> None:
    slow, fast = schedule(10, 20, seed=3), schedule(20, 10, seed=3)
    assert len(slow) == len(fast) == 200
    assert slow == sorted(slow)
    assert 0 <= slow[0] <= slow[-1] < 20
    assert [2 * at for at in fast] == pytest.approx(slow)
    assert schedule(10, 20, seed=4) != slow


def test_arrivals_are_poisson() -> None:
    gaps = [later - earlier for times in [schedule(100, 50, 1)] for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.01, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.1), "of an exponential distribution both are the same"


@pytest.mark.parametrize("guess", [10.0, 80.0, 95.0, 150.0, 900.0])
def test_the_search_finds_what_a_known_server_can_do(guess: float) -> None:
    probe = queue(capacity=100)
    steps = highest_rate(probe, guess)
    found = best(steps)
    assert found is not None
    lowest_failed = min(step.rate for step in steps if not step.passed)
    assert found.rate < lowest_failed <= RESOLUTION * found.rate
    assert probe(found.rate).passed
    assert not probe(found.rate * RESOLUTION**1.01).passed
    assert 85 < found.rate < 101, "near its capacity, and not above"


def test_a_guess_within_a_factor_costs_few_steps() -> None:
    assert len(highest_rate(queue(100), 90)) <= 6


def test_a_server_that_never_passes_ends_the_search() -> None:
    steps = highest_rate(lambda rate: step_of(rate, Samples(planned=1, errors={"HTTP 503": 1})), 100)
    assert best(steps) is None
    assert steps[-1].rate < 1


@pytest.mark.parametrize("guess", [0.0, -1.0, float("nan"), float("inf")])
def test_a_guess_that_is_no_rate_is_refused(guess: float) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        highest_rate(queue(100), guess)


def samples(latencies: list[float], planned: int | None = None, **errors: int) -> Samples:
    number = len(latencies) if planned is None else planned
    return Samples(planned=number, latencies=latencies, lateness=[0.0] * number, errors=errors, cpu_seconds=0.1)


@pytest.mark.parametrize(
    ("run", "passed"),
    [
        (samples([0.2] * 100), True),
        (samples([0.2] * 99 + [9.0]), True),
        (samples([0.2] * 98 + [9.0] * 2), False),
        (samples([LIMIT_S] * 10), True),
        (samples([0.1] * 99, planned=100, refused=1), False),
        (samples([0.1] * 99, planned=100), False),
        (samples([], planned=1), False),
    ],
)
def test_a_step_passes_if_all_was_answered_and_the_p99_is_in_time(run: Samples, passed: bool) -> None:
    assert step_of(10, run).passed is passed


@pytest.mark.parametrize("number", [1, 99, 100, 199, 200, 1234])
def test_giving_up_early_agrees_with_the_verdict(number: int) -> None:
    late = allowed_late(number)
    assert step_of(1, samples([9.0] * late + [0.1] * (number - late))).passed
    assert not step_of(1, samples([9.0] * (late + 1) + [0.1] * (number - late - 1))).passed


def test_costs_are_of_a_photo() -> None:
    step = step_of(10, samples([0.1] * 50), cpu_s=0.5, instructions=5e9)
    assert (step.cpu_ms, step.instructions, step.generator_cpu_ms) == (10.0, 1e8, 2.0)
    assert step_of(10, samples([0.1])).instructions is None


class Stub(ThreadingHTTPServer):
    """A real HTTP server in this process that keeps what it got and answers with one status and body."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.body = body
        self.photos: list[bytes] = []

    def __enter__(self) -> Stub:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def target(self) -> Target:
        return Target(self.server_port, Http("/classify"), (b"photo 1", b"photo 2"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Stub)
        self.server.photos.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.long
def test_the_generator_sends_every_photo_once_and_none_like_another() -> None:
    with Stub(200, b'{"labels": []}') as stub, Generator(stub.target) as generator:
        assert generator.first() == b'{"labels": []}'
        run = generator.open(per_s=200, seconds=0.5, seed=1, limit_s=60)
    assert (run.planned, len(run.latencies), run.errors, run.given_up) == (100, 100, {}, False)
    assert len(set(stub.photos)) == len(stub.photos) == 101
    assert all(photo.startswith(b"photo") for photo in stub.photos)
    assert min(run.latencies) > 0
    assert run.cpu_seconds > 0


@pytest.mark.long
def test_a_refusal_is_an_error_and_ends_the_run_early() -> None:
    with Stub(503, b"busy") as stub, Generator(stub.target) as generator:
        run = generator.open(per_s=50, seconds=30, seed=1, limit_s=60)
    assert set(run.errors) == {"HTTP 503"}
    assert run.given_up
    assert run.planned == 1500 > sum(run.errors.values())
    assert not step_of(50, run).passed


@pytest.mark.long
def test_what_is_not_answered_in_time_ends_the_run_early() -> None:
    with Stub(200, b"") as stub, Generator(stub.target) as generator:
        run = generator.open(per_s=50, seconds=30, seed=1, limit_s=0.0)
    assert run.given_up
    assert len(run.latencies) < run.planned
    assert not run.errors


def test_nobody_there_is_said(unused_tcp_port: int) -> None:
    nobody = Target(unused_tcp_port, Http("/classify"), (b"photo",))
    with Generator(nobody) as generator, pytest.raises(GeneratorError, match="refused"):
        generator.first()


def test_a_photo_in_a_form_can_be_read_by_who_did_not_write_it() -> None:
    from email import message_from_bytes

    head, *body = Http("/x", form_field="photos").parts(b"\xff\xd8 photo")
    assert f"Content-Length: {len(b''.join(body))}".encode() in head
    kind = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type"))
    [part] = message_from_bytes(kind + b"\r\n\r\n" + b"".join(body)).get_payload()
    assert part.get_param("name", header="content-disposition") == "photos"  # type: ignore[union-attr]
    assert part.get_payload(decode=True) == b"\xff\xd8 photo"  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000, 3_000_000])
def test_requests_that_are_put_together_are_what_protobuf_reads(size: int) -> None:
    photo = os.urandom(size)
    request = pb.ClassifyRequest.FromString(bestiary_grpc(Priority.BATCH).message(photo))
    assert (request.photo, request.tasks) == (photo, pb.TASKS_SPECIES)
    kserve = service_pb2.ModelInferRequest.FromString(kserve_grpc("classifier").message(photo))
    assert kserve.model_name == "classifier"
    assert kserve.raw_input_contents == [size.to_bytes(4, "little") + photo]
    assert list(kserve.inputs[0].shape) == [1]


def test_processes_of_a_system_are_found_even_if_they_leave_their_parent() -> None:
    script = (
        "import os, subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True);"
        "subprocess.Popen(['sleep', '60'], env={}); print(flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, **cost.mark("here")}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert len(cost.processes("here")) == 3
            assert cost.processes("elsewhere") == set()
            assert cost.cpu_seconds(cost.processes("here")) > 0
        finally:
            cost.end("here")
    assert cost.cpu_seconds([process.pid]) == 0.0, "what is gone costs nothing more"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("# started\n\n123456789,,instructions,10,100.00,,\n", 123456789.0),
        ("<not supported>,,instructions,0,100.00,,\n", None),
        ("42,,instructions:u,10,100.00,,\n", 42.0),
        ("", None),
    ],
)
def test_instructions_are_read_where_the_machine_counts_them(text: str, count: float | None) -> None:
    assert cost.parse(text) == count


def test_the_float32_repository_names_the_file_and_its_own_digests(tmp_path: Path) -> None:
    from benchmarks.bound import model_file

    repository = ours.float32_repository(tmp_path)
    file, engine = model_file(repository, "classifier")
    assert (file.name, engine) == (ours.FLOAT32_FILE, "openvino")
    assert 'string_value: "model.int8.onnx"' not in (repository / "animals" / "config.pbtxt").read_text()
    release = Release.model_validate_json((repository / MANIFEST_PATH).read_text())
    assert release.files == file_digests(repository)
    shipped = Release.model_validate_json((ours.SHIPPED / MANIFEST_PATH).read_text())
    changed = {path for path in release.files if release.files[path] != shipped.files[path]}
    assert changed == {"animals/config.pbtxt", "classifier/config.pbtxt"}


def test_the_photo_sets_are_there_without_the_test_data(tmp_path: Path) -> None:
    from benchmarks.photos import NoPhotos
    from imaging.decode import decode_photo

    sizes = {}
    for name in photos.SETS:
        decoded = decode_photo(photos.load(name, tmp_path).photos[0])
        sizes[name] = (decoded.width, decoded.height)
    assert sizes[photos.CAMERA] == photos.CAMERA_SIZE
    assert sizes[photos.LARGE] == photos.LARGE_SIZE
    assert sizes[photos.SMALL] < (512, 512)
    with pytest.raises(NoPhotos, match="give one of"):
        photos.load("huge", tmp_path)


def test_every_peer_has_pinned_requirements_and_a_first_setting() -> None:
    assert set(environments.NAMES) == {peer.name for peer in PEERS}
    for name in environments.NAMES:
        lines = (environments.REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in lines)
        assert not [line for line in lines if "://" in line]
        assert variants_of(name)
    assert environments.versions(["ray"])["ray"].startswith("ray 2.")


def test_an_environment_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "HOME", tmp_path)
    with pytest.raises(environments.SetupError, match="setup` first"):
        environments.executable("ray", "python")
    with pytest.raises(environments.SetupError, match="give one of"):
        environments.make("nobody")


def facts(**rates: list[float | None]) -> dict[str, Any]:
    cells = [
        Cell(system.replace("_", "-"), "x", photos.SMALL, number, rate, cpu_ms=10.0, instructions=1e8).as_json()
        for system, all_rates in rates.items()
        for number, rate in enumerate(all_rates, 1)
    ]
    cells.append(Cell("ray", "x", photos.SMALL, 1, None, error="it did not start").as_json())
    machine = {"processor": "P", "cores": 2, "kernel": "K", "date": "D", "load_average_1min": 0.1}
    return {
        "machine": machine,
        "rounds": 3,
        "seconds": 6.0,
        "photos": {photos.SMALL: {"name": "small: some", "mean_bytes": 20000}},
        "variants": {"fastapi": "def"},
        "cells": json.loads(json.dumps(cells)),
    }


def test_a_figure_is_the_median_of_the_rounds_and_one_that_never_passed_is_none() -> None:
    rows = report.rows_of(facts(fastapi=[100, 140, 120], litserve=[None, 50, None])["cells"])
    found = {row.system: (row.rate, row.lowest, row.highest) for row in rows}
    assert found == {"fastapi": (120, 100, 140), "litserve": (0, 0, 50)}, "a system that did not start has no row"


def test_the_aims_are_of_the_best_peer() -> None:
    said = report.verdicts(
        report.rows_of(
            facts(fastapi=[100], litserve=[90], ours_http_float32=[129], ours_http=[151], bound=[200])["cells"]
        )
    )
    assert [line.rsplit(" ", 1)[-1] == "met" and "NOT" not in line for line in said] == [False, True, False]
    assert all("FastAPI" in line or "bound" in line for line in said)


def test_the_report_has_every_system_and_says_who_did_not_start(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = facts(fastapi=[100, 140, 120], ours_http=[200, 201, 202], bound=[300])
    text = report.markdown(results)
    assert "| FastAPI + onnxruntime | def | 120.0 (100.0-140.0) | 1.00 | 10.0 | 100 |" in text
    assert "1.68" in text
    assert "Ray Serve: it did not start" in text
    report.plot(tmp_path / "x.png", results)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_systems_are_ours_the_peers_and_the_bounds() -> None:
    assert set(SYSTEMS) == set(OURS) | {peer.name for peer in PEERS} | set(BOUNDS)


def test_the_setting_with_the_best_rates_is_chosen() -> None:
    def cell(system: str, variant: str, photo_set: str, rate: float | None) -> dict[str, Any]:
        return Cell(system, variant, photo_set, 1, rate).as_json()

    cells = [
        cell("ray", "replicas", photos.SMALL, 50),
        cell("ray", "batches", photos.SMALL, 60),
        cell("ray", "replicas", photos.CAMERA, 20),
        cell("ray", "batches", photos.CAMERA, 10),
        cell("fastapi", "def", photos.SMALL, None),
        cell("fastapi", "async", photos.SMALL, 90),
    ]
    assert report.chosen(cells) == {"ray": "replicas", "fastapi": "async"}
