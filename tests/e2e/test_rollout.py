"""A second release comes while photos do: shadow, canary, promotion, rollback; and one that is broken."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from rollout.store import open_model_store
from tests.support.releases import make_release
from tests.support.stack import Stack, running_stack

PAUSE_S = 0.05
"""Between a caller's photos: a light load."""

CALLERS = 2


class Callers:
    """Threads that send a photo again and again. ``refusals`` has every answer that was none; ``releases`` who
    answered, in order."""

    def __init__(self, url: str, photo: bytes) -> None:
        self.refusals: list[str] = []
        self.releases: list[str] = []
        self._url, self._photo = url, photo
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._ended.wait(PAUSE_S):
                try:
                    answer = client.post("/v1/classifications", content=self._photo, params={"timeout_ms": 30_000})
                    if answer.is_success:
                        self.releases.append(answer.json()["release"])
                    else:
                        self.refusals.append(answer.text)
                except httpx.TransportError as error:
                    self.refusals.append(repr(error))


@pytest.fixture(scope="module")
def rollout_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("rollout")) as running:
        yield running


@contextmanager
def called(stack: Stack, photo: bytes) -> Iterator[Callers]:
    """Constant load while the test does something else; none of it may fail."""
    callers = Callers(stack.url, photo)
    callers.start()
    try:
        yield callers
    finally:
        callers.stop()
    assert not callers.refusals
    assert callers.releases


def releases(stack: Stack, *arguments: str) -> tuple[int, Any, str]:
    """``bestiary releases ...``: exit code, what it said as JSON, what it complained about."""
    done = CliRunner().invoke(app, ["releases", *arguments, "--store", str(stack.data / "models"), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else None, done.stderr


def until(true: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def answers(callers: Callers, release: str) -> None:
    """Wait until only ``release`` answers: everything that was sent from now on."""
    seen = len(callers.releases)
    until(lambda: callers.releases[seen:][-4 * CALLERS :] == [release] * 4 * CALLERS)


def tallied(stack: Stack, release: str, photos: int) -> bool:
    """Whether the gateway reports that it asked ``release`` about so many photos."""
    _, seen, _ = releases(stack, "status")
    return any(one["release"] == release and one["tally"]["photos"] >= photos for one in seen["gateways"])


def test_a_release_is_shadowed_promoted_and_rolled_back_without_a_lost_photo(
    rollout_stack: Stack, cat: bytes, tmp_path: Path
) -> None:
    stack = rollout_stack
    _, before, _ = releases(stack, "status")
    first = before["state"]["champion"]
    second = make_release(tmp_path / "second", "second")
    asyncio.run(open_model_store(stack.data / "models").put(tmp_path / "second"))
    with called(stack, cat) as callers:
        code, state, complaint = releases(stack, "shadow", "second")
        assert code == 0, complaint
        assert (state["champion"], state["challenger"]["stage"]) == (first, "shadow")
        until(lambda: tallied(stack, second, 5))
        assert set(callers.releases) == {first}, "nobody hears what a shadow says"

        code, state, complaint = releases(stack, "canary", "second", "--share", "1")
        assert code == 0, complaint
        answers(callers, second)

        code, state, complaint = releases(stack, "promote", "--probation", "0")
        assert code == 0, complaint
        assert (state["champion"], state["previous"], state["challenger"]) == (second, first, None)
        answers(callers, second)

        code, state, complaint = releases(stack, "rollback", "--reason", "a test")
        assert code == 0, complaint
        answers(callers, first)
    _, after, _ = releases(stack, "status")
    assert [event["act"] for event in after["state"]["history"]][-5:] == [
        "load", "shadow", "canary", "promote", "rollback",
    ]  # fmt: skip


@pytest.mark.parametrize("spoil", ["exits at load", "fails every request"])
def test_a_broken_release_is_refused_and_the_champion_answers(
    rollout_stack: Stack, cat: bytes, tmp_path: Path, spoil: str
) -> None:
    """One that got past the gates, or was never shown to them."""
    stack = rollout_stack
    _, before, _ = releases(stack, "status")
    champion = before["state"]["champion"]
    restarts = json.loads((stack.data / "run" / "triton.json").read_text())["restarts"]
    broken = make_release(tmp_path / "broken", "broken", spoil)
    asyncio.run(open_model_store(stack.data / "models").put(tmp_path / "broken"))
    with called(stack, cat) as callers:
        code, _, complaint = releases(stack, "canary", broken)
        assert (code, "was refused" in complaint) == (3, True), complaint
        answers(callers, champion)
    assert set(callers.releases) == {champion}
    _, after, _ = releases(stack, "status")
    assert after["state"]["champion"] == champion
    assert after["state"]["challenger"] is None
    assert broken in after["state"]["refused"]
    assert json.loads((stack.data / "run" / "triton.json").read_text())["restarts"] == restarts
