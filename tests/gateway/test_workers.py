"""Real workers under a real supervisor: who reads what, who dies, who takes over."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from gateway.worker_metrics import merged, workers_file
from gateway.workers import Workers, reserve
from tests.support.gateway_process import GatewayProcess, running_gateway
from tests.support.stack import ROOT
from tests.support.triton import FakeTriton


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as running:
        yield running


@contextmanager
def store_that_takes_nothing(data: Path) -> Iterator[None]:
    """Hold SQLite's one write lock: what is acknowledged meanwhile stays in the journals."""
    with closing(sqlite3.connect(data / "results.sqlite", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


def stored(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "results.sqlite")) as database:
        return [row[0] for row in database.execute("SELECT id FROM records")]


def supervisor_says(data: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(workers_file(data).read_text())
    return said


async def until_running(gateway: GatewayProcess, workers: int, restarts: int = 0) -> dict[int, int]:
    """Return slot -> process id once all workers run and publish their metrics."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while True:
            said = supervisor_says(gateway.data)
            published = {int(path.stem[-1]) for path in (gateway.data / "run").glob("metrics-*.prom")}
            if said["running"] == workers and said["restarts"] >= restarts and len(published) == workers:
                await client.get(f"{gateway.url}/livez")
                return {int(slot): pid for slot, pid in said["pids"].items()}
            await asyncio.sleep(0.05)


def holders(data: Path, record_id: str) -> list[int]:
    """Slots of the workers whose journals have a record."""
    return [
        int(path.parent.name.removeprefix("journal-"))
        for path in data.glob("journal-*/*.journal")
        if record_id.encode() in path.read_bytes()
    ]


async def test_a_record_is_read_from_whichever_worker_is_asked_even_if_its_own_is_dead_and_is_stored_after_its_restart(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address, "--workers", "2") as gateway:
        pids = await until_running(gateway, 2)
        with store_that_takes_nothing(tmp_path):
            while {slot for id_ in gateway.acknowledged for slot in holders(tmp_path, id_)} != {0, 1}:
                assert await gateway.classify(cat) is not None
            for record_id in gateway.acknowledged:
                assert [await gateway.status_of(record_id) for _ in range(8)] == [200] * 8
            gateway.process.send_signal(signal.SIGSTOP)  # so that the dead one stays dead for now
            os.kill(pids[1], signal.SIGKILL)
            await until_gone([pids[1]])
            for record_id in gateway.acknowledged:
                assert await gateway.status_of(record_id) == 200
            assert await gateway.status_of("01890000-0000-7000-8000-000000000000") == 404
            assert stored(tmp_path) == []
            gateway.process.send_signal(signal.SIGCONT)
            assert (await until_running(gateway, 2, restarts=1))[0] == pids[0]
        async with asyncio.timeout(60):
            while len(stored(tmp_path)) < len(gateway.acknowledged):  # noqa: ASYNC110  # another process' doing
                await asyncio.sleep(0.05)
    assert sorted(stored(tmp_path)) == sorted(gateway.acknowledged)


def has_sockets(pid: int) -> bool:
    """Whether a process still has its sockets; a zombie has none."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def until_gone(pids: Iterable[int]) -> None:
    """Return when none of the processes has a socket any more."""
    async with asyncio.timeout(30):
        while any(has_sockets(pid) for pid in pids):  # noqa: ASYNC110  # not children of this process
            await asyncio.sleep(0.02)


async def test_workers_that_are_killed_under_load_lose_nothing_and_all_are_drained_at_the_end(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address, "--workers", "2") as gateway:
        pids = await until_running(gateway, 2)
        with gateway.load(cat):
            await gateway.until_acknowledged(20)
            os.kill(pids[0], signal.SIGKILL)
            await gateway.until_acknowledged(20)
            again = await until_running(gateway, 2, restarts=1)
            await gateway.until_acknowledged(20)
            gateway.process.terminate()
            assert await gateway.ends() == 0
    assert again[0] != pids[0]
    assert again[1] == pids[1]
    kept = stored(tmp_path)
    assert set(gateway.acknowledged) <= set(kept)
    assert len(set(kept)) == len(kept)
    for directory in tmp_path.glob("journal-*"):
        assert not any(path.stat().st_size > 8 for path in directory.glob("*.journal") if not drained(directory, path))
    assert set(gateway.refused) <= {"not_ready", "overloaded", "ConnectError", "ReadError", "RemoteProtocolError"}


def drained(directory: Path, segment: Path) -> bool:
    """Whether the checkpoint is at the end of a segment."""
    checkpoint = json.loads((directory / "checkpoint").read_text())
    return int(segment.stem) <= checkpoint["segment"] and segment.stat().st_size <= checkpoint["offset"]


async def test_journals_of_workers_that_are_no_longer_configured_are_adopted(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address, "--workers", "2", drain_timeout_s=0.5) as gateway:
        await until_running(gateway, 2)
        with store_that_takes_nothing(tmp_path):
            while {slot for id_ in gateway.acknowledged for slot in holders(tmp_path, id_)} != {0, 1}:
                assert await gateway.classify(cat) is not None
            gateway.process.terminate()
            await gateway.ends()
    assert stored(tmp_path) == []
    async with running_gateway(tmp_path, triton.address) as alone:
        for record_id in gateway.acknowledged:
            assert await alone.status_of(record_id) == 200
    assert sorted(stored(tmp_path)) == sorted(gateway.acknowledged)


async def test_a_scrape_of_any_worker_counts_the_photos_of_all(tmp_path: Path, triton: FakeTriton, cat: bytes) -> None:
    async with running_gateway(tmp_path, triton.address, "--workers", "2") as gateway:
        await until_running(gateway, 2)
        for _ in range(12):
            assert await gateway.classify(cat) is not None
        counted = re.compile(r'^bestiary_photos_total\{.*outcome="ok".*worker="(\d)"\} (\d+)\.0$', re.MULTILINE)
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
            text = ""
            while sum(int(count) for _, count in counted.findall(text)) < 12:
                text = (await client.get(f"{gateway.url}/metrics")).text
        assert "bestiary_workers_running 2.0" in text
        assert text.count("# TYPE bestiary_drain_lag_seconds gauge") == 1
        assert {found for found in re.findall(r'bestiary_drain_lag_seconds\{worker="(\d)"\}', text)} == {"0", "1"}


def test_texts_of_workers_are_merged_by_family_and_a_broken_one_is_left_out() -> None:
    texts = {0: "# TYPE a gauge\na 1.0\n", 1: '# TYPE a gauge\na{x="y"} 2.0\n', 2: "nonsense{"}
    lines = merged(texts).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ['a{worker="0"} 1.0', 'a{worker="1",x="y"} 2.0']
    assert lines.count("# TYPE a gauge") == 1


def test_a_port_that_others_share_is_refused_all_the_same() -> None:
    with reserve("127.0.0.1", 0) as held, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(held.getsockname())
        other.listen()
        with pytest.raises(OSError, match="stop what listens there"):
            reserve(*held.getsockname())


def test_what_is_wrong_with_the_settings_is_said_once(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "BESTIARY_DATA_DIR": str(tmp_path),
        "BESTIARY_RELEASE_DIR": "nowhere",
        "BESTIARY_HTTP_PORT": "0",
        "BESTIARY_GRPC_PORT": "0",
    }
    command = [sys.executable, "-m", "gateway", "--workers", "3"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("nowhere") == 1
    assert "Traceback" not in done.stderr


async def test_workers_end_with_their_supervisor_however_that_happens(
    tmp_path: Path, triton: FakeTriton, cat: bytes
) -> None:
    async with running_gateway(tmp_path, triton.address, "--workers", "2") as gateway:
        pids = await until_running(gateway, 2)
        assert await gateway.classify(cat) is not None
        gateway.process.kill()
        await gateway.ends()
        await until_gone(pids.values())
    assert stored(tmp_path) == gateway.acknowledged


STUB = """
import os, pathlib, signal, socket, sys, time
slot = os.environ["BESTIARY_WORKER"]
run = pathlib.Path(sys.argv[1]) / "run"
run.mkdir(exist_ok=True)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(os.environ["BESTIARY_HTTP_PORT"])))
listener.listen()
beats = 3 if slot == "1" else 10**9
starts = run / f"starts-{slot}"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
for beat in range(10**9):
    if beat < beats:
        (run / f"metrics-{slot}.prom").write_text("")
    time.sleep(0.02)
"""


async def test_a_worker_without_a_sign_of_life_is_killed_and_started_again_and_others_are_not(tmp_path: Path) -> None:
    settings = Settings(http_port=0, grpc_port=0, data_dir=tmp_path, workers=2)
    workers = Workers(settings, (sys.executable, "-c", STUB, str(tmp_path)), look_every_s=0.3)
    running = asyncio.create_task(workers.run())

    def starts(slot: int) -> int:
        path = tmp_path / "run" / f"starts-{slot}"
        return len(path.read_text()) if path.exists() else 0

    async with asyncio.timeout(60):
        while starts(1) < 2:  # noqa: ASYNC110  # another process' doing
            await asyncio.sleep(0.05)
    workers.stop()
    assert await running == 0
    assert starts(0) == 1
    assert supervisor_says(tmp_path)["running"] == 0
