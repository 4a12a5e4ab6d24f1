"""Networks in the process of ``animals`` answer as the models that they replace would."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from serving.errors import NetworkError
from serving.models.errors import ModelCallError
from serving.models.networks import InlineNetworks, choose

ROOT = Path(__file__).parents[2]
CLASSIFIER_FILE = ROOT / "model_repository" / "classifier" / "1" / "model.int8.onnx"
PICTURES = np.random.default_rng(3).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)

EIGHT_BIT_ROUNDING = 0.2
"""Largest difference of a probability between engines: noise, which these pictures are, is the worst case."""


def refuse(model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    raise ModelCallError(f"{model} was called")


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def networks(request: pytest.FixtureRequest) -> InlineNetworks:
    return InlineNetworks({"classifier": CLASSIFIER_FILE}, refuse, {"classifier": request.param})


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    bare = onnxruntime.InferenceSession(str(CLASSIFIER_FILE), providers=["CPUExecutionProvider"])
    found: np.ndarray = bare.run(None, {"IMAGE": PICTURES})[0]
    return found


def ask(networks: InlineNetworks, pictures: np.ndarray) -> np.ndarray:
    found: np.ndarray = networks("classifier", {"IMAGE": pictures}, ("PROBABILITIES",))["PROBABILITIES"]
    return found


def test_what_it_has_it_runs(networks: InlineNetworks, expected: np.ndarray) -> None:
    answer = ask(networks, PICTURES)
    assert answer.shape == expected.shape
    # Engines round 8-bit sums differently: not the same digits, the same answer.
    assert np.allclose(answer, expected, atol=EIGHT_BIT_ROUNDING)
    assert np.array_equal(answer.argmax(axis=1), expected.argmax(axis=1))


def test_a_picture_answers_alike_alone_and_in_a_batch(networks: InlineNetworks) -> None:
    together = ask(networks, PICTURES)
    assert all(np.allclose(ask(networks, PICTURES[row : row + 1])[0], together[row], atol=1e-5) for row in range(3))


def test_threads_get_their_own_answers(networks: InlineNetworks) -> None:
    alone = [ask(networks, PICTURES[row : row + 1]) for row in range(3)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda row: ask(networks, PICTURES[row : row + 1]), [0, 1, 2] * 8))
    assert all(np.allclose(answer, alone[turn % 3], atol=1e-5) for turn, answer in enumerate(found))


def test_an_answer_stays_when_the_next_is_computed(networks: InlineNetworks) -> None:
    first = ask(networks, PICTURES[:1])
    kept = first.copy()
    ask(networks, PICTURES[1:2])
    assert np.array_equal(first, kept)


def test_what_it_does_not_have_it_hands_on(networks: InlineNetworks) -> None:
    with pytest.raises(ModelCallError, match="detector was called"):
        networks("detector", {"SCENE": PICTURES}, ("DETECTIONS",))


def test_a_failed_run_names_its_network_and_the_next_succeeds(networks: InlineNetworks) -> None:
    with pytest.raises(ModelCallError, match=r"^classifier: "):
        networks("classifier", {"IMAGE": PICTURES[:, :5]}, ("PROBABILITIES",))
    assert ask(networks, PICTURES).shape == (3, 414)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_missing_file_is_named(tmp_path: Path, engine: str) -> None:
    with pytest.raises(Exception, match=r"absent\.onnx"):
        InlineNetworks({"classifier": tmp_path / "absent.onnx"}, refuse, {"classifier": engine})


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NetworkError, match="onnxruntime, openvino"):
        InlineNetworks({"classifier": CLASSIFIER_FILE}, refuse, {"classifier": "tpu"})


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(NetworkError, match="pip install openvino"):
        InlineNetworks({"classifier": CLASSIFIER_FILE}, refuse, {"classifier": "openvino"})


def test_what_was_loaded_gently_is_not_slow_for_good() -> None:
    """Threads that an engine makes while it loads keep the loader's priority: photos must not wait for them."""

    def low() -> InlineNetworks:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        return InlineNetworks({"classifier": CLASSIFIER_FILE}, refuse, {"classifier": "openvino"})

    with ThreadPoolExecutor(1) as thread:
        networks = thread.submit(low).result()
        before = cpu_by_niceness()
        for _ in range(40):
            ask(networks, PICTURES)
        after = cpu_by_niceness()
    assert after[0] - before[0] > 0.05, "the networks ran"
    assert after.get(19, 0) - before.get(19, 0) < 0.02


def cpu_by_niceness() -> dict[int, float]:
    """CPU seconds of this process's threads, by their niceness."""
    spent: dict[int, float] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        spent[int(fields[16])] = spent.get(int(fields[16]), 0.0) + sum(map(int, fields[11:13])) / os.sysconf(
            "SC_CLK_TCK"
        )
    return spent


WORDS = {"classifier_file": "small.onnx", "classifier_engine": "openvino", "classifier_bf16_file": "wide.onnx"}


@pytest.mark.parametrize(
    ("words", "bf16", "expected"),
    [
        (WORDS, False, ("small.onnx", "openvino")),
        (WORDS, True, ("wide.onnx", "openvino-bf16")),
        ({"classifier_file": "small.onnx"}, True, ("small.onnx", "onnxruntime")),
        ({"detector_file": "other.onnx", "classifier_bf16_file": "wide.onnx"}, True, None),
    ],
)
def test_the_processor_chooses_among_the_files_that_the_release_names(
    words: dict[str, str], bf16: bool, expected: tuple[str, str] | None
) -> None:
    assert choose("classifier", words, bf16=bf16) == expected


def test_bfloat16_and_float32_name_the_same() -> None:
    """Also on a processor without bfloat16, which computes float32 then."""
    file = CLASSIFIER_FILE.with_name("model.onnx")
    exact, narrow = (
        ask(InlineNetworks({"classifier": file}, refuse, {"classifier": engine}), PICTURES)
        for engine in ("openvino", "openvino-bf16")
    )
    assert np.abs(exact - narrow).max() < EIGHT_BIT_ROUNDING
    assert np.allclose(narrow.sum(axis=1), 1, atol=0.02)
