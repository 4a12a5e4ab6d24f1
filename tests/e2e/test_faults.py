"""What happens when parts die: requests fail fast, service returns, nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from tests.support.stack import ROOT, Stack, free_ports, running_stack

RECOVERY_LIMIT_S = 60
"""Generous, so that a busy machine does not fail the test; benchmarks/recovery measures the real figure."""


def children(pid: int) -> list[int]:
    """Process ids of all living descendants of ``pid``."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def descendants(stack: Stack, name: str) -> list[int]:
    return [pid for pid in children(stack.process.pid) if name_of(pid).startswith(name)]


class Load:
    """Four callers in a closed loop until told to stop; remembers every acknowledged id and every failure."""

    def __init__(self, stack: Stack, photo: bytes) -> None:
        self.acknowledged: list[str] = []
        self.failures: Counter[grpc.StatusCode] = Counter()
        self._stack, self._photo = stack, photo
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        with grpc.insecure_channel(self._stack.grpc) as channel:
            stub = BestiaryStub(channel)
            while not self._stop.is_set():
                try:
                    reply = stub.Classify(pb.ClassifyRequest(photo=self._photo), timeout=20)
                    self.acknowledged.append(reply.classification.id)
                except grpc.RpcError as error:
                    self.failures[error.code()] += 1
                    time.sleep(0.02)


def wait_until(condition, limit_s: float = RECOVERY_LIMIT_S) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def served_again(load: Load) -> None:
    done = len(load.acknowledged)
    wait_until(lambda: len(load.acknowledged) > done + 10)


def missing(stack: Stack, ids: list[str]) -> list[str]:
    with httpx.Client(base_url=stack.url) as client:
        return [record_id for record_id in ids if not client.get(f"/v1/classifications/{record_id}").is_success]


@pytest.fixture
def own_stack(tmp_path: Path):  # type: ignore[no-untyped-def]
    with running_stack(tmp_path) as running:
        yield running


def test_a_killed_triton_is_restarted_and_nothing_acknowledged_is_missing(own_stack: Stack, cat: bytes) -> None:
    with Load(own_stack, cat) as load:
        served_again(load)
        (triton,) = descendants(own_stack, "tritonserver")
        os.kill(triton, signal.SIGKILL)
        wait_until(lambda: load.failures[grpc.StatusCode.UNAVAILABLE] > 0)
        checks = httpx.get(f"{own_stack.url}/readyz").json()["checks"]
        assert checks["triton"] == "ok" or "SIGKILL" in checks["triton"]
        served_again(load)
    assert set(load.failures) == {grpc.StatusCode.UNAVAILABLE}
    assert missing(own_stack, load.acknowledged) == []
    assert name_of(triton) == "", "the dead server is gone"
    assert len(descendants(own_stack, "tritonserver")) == 1


@pytest.mark.parametrize("which", [0, -1])
def test_a_killed_model_process_is_noticed_and_replaced(own_stack: Stack, cat: bytes, which: int) -> None:
    with Load(own_stack, cat) as load:
        served_again(load)
        (triton,) = descendants(own_stack, "tritonserver")
        os.kill(descendants(own_stack, "triton_python_b")[which], signal.SIGKILL)
        wait_until(lambda: name_of(triton) == "")  # Triton cannot replace it, so all of it is started again
        served_again(load)
        failures = load.failures.total()
        served_again(load)
        assert load.failures.total() == failures, "nothing dead is left behind"
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE}
    assert missing(own_stack, load.acknowledged) == []


def test_ctrl_c_drains_and_leaves_nothing_behind(own_stack: Stack, cat: bytes, tmp_path: Path) -> None:
    with Load(own_stack, cat) as load:
        served_again(load)
        family = [own_stack.process.pid, *children(own_stack.process.pid)]
        own_stack.process.send_signal(signal.SIGINT)
        assert own_stack.process.wait(60) == 0
    assert [name_of(pid) for pid in family if name_of(pid)] == []
    assert not list(Path("/dev/shm").glob(f"bestiary-{own_stack.process.pid}-*"))
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    with running_stack(tmp_path) as again:
        assert missing(again, load.acknowledged) == []


def test_what_was_acknowledged_survives_a_killed_gateway(own_stack: Stack, cat: bytes, tmp_path: Path) -> None:
    with Load(own_stack, cat) as load:
        served_again(load)
        gateway = next(pid for pid in children(own_stack.process.pid) if is_gateway(pid))
        os.kill(gateway, signal.SIGKILL)
        assert own_stack.process.wait(60) == 1, "without its gateway the stack ends"
    with running_stack(tmp_path) as again:
        assert missing(again, load.acknowledged) == []


def test_nothing_is_orphaned_when_the_supervisor_is_killed(own_stack: Stack, cat: bytes, tmp_path: Path) -> None:
    with Load(own_stack, cat) as load:
        served_again(load)
        family = [*children(own_stack.process.pid)]
        own_stack.process.kill()
        wait_until(lambda: not any(name_of(pid) for pid in family))
    with running_stack(tmp_path) as again:
        assert missing(again, load.acknowledged) == []


def is_gateway(pid: int) -> bool:
    return b"gateway" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port", "--triton-port"])
def test_a_taken_port_is_one_sentence_and_a_failure(stack: Stack, tmp_path: Path, option: str) -> None:
    free = free_ports(5)
    ports = {"--http-port": free, "--grpc-port": free + 1, "--triton-port": free + 2, option: stack.http_port}
    arguments = [text for name, port in ports.items() for text in (name, str(port))]
    command = [sys.executable, "-m", "cli", "up", "--data", str(tmp_path), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    complaints = [line for line in done.stderr.splitlines() if line.startswith("bestiary up:")]
    assert len(complaints) == 1
    assert f"Port {stack.http_port}" in complaints[0]


def test_a_second_stack_on_the_same_data_is_refused_and_harms_nothing(stack: Stack, cat: bytes) -> None:
    free = free_ports(5)
    ports = {"--http-port": free, "--grpc-port": free + 1, "--triton-port": free + 2}
    arguments = [text for name, port in ports.items() for text in (name, str(port))]
    command = [sys.executable, "-m", "cli", "up", "--data", str(stack.data), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Another `bestiary up` uses" in done.stderr
    assert httpx.post(f"{stack.url}/v1/classifications", content=cat, timeout=30).is_success


def test_callers_in_a_hurry_cost_nobody_else_anything(own_stack: Stack, cat: bytes) -> None:
    (triton,) = descendants(own_stack, "tritonserver")
    codes: dict[float, Counter[grpc.StatusCode]] = {0.03: Counter(), 30.0: Counter()}
    metadata = {0.03: (), 30.0: (("bestiary-priority", "batch"),)}

    def call(deadline_s: float) -> None:
        with grpc.insecure_channel(own_stack.grpc) as channel:
            for _ in range(12):
                try:
                    request = pb.ClassifyRequest(photo=cat)
                    BestiaryStub(channel).Classify(request, timeout=deadline_s, metadata=metadata[deadline_s])
                    codes[deadline_s][grpc.StatusCode.OK] += 1
                except grpc.RpcError as error:
                    codes[deadline_s][error.code()] += 1

    threads = [threading.Thread(target=call, args=(deadline_s,)) for deadline_s in codes for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert codes[30.0] == {grpc.StatusCode.OK: 96}
    refused = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert set(codes[0.03]) <= {grpc.StatusCode.OK, *refused}
    assert descendants(own_stack, "tritonserver") == [triton], "the server lived through it"
