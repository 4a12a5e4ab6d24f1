"""Photos of different requests share executions, wherever the networks run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc

from tests.support.photos import two_cats
from tests.support.stack import Stack, running_stack

REQUESTS = 96
CONCURRENCY = 24

CORNERS = ("x1", "y1", "x2", "y2", "score")
ROUNDING = 0.2
"""Of a probability, between 8 bits in onnxruntime and what `animals` runs (decision 0027)."""


def statistics(client: over_grpc.InferenceServerClient, model: str) -> tuple[int, int]:
    found = client.get_inference_statistics(model).model_stats[0]
    return found.inference_count, found.execution_count


@pytest.fixture(scope="module")
def models_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The networks as models of their own, as Triton's image serves them."""
    with running_stack(tmp_path_factory.mktemp("models"), "--networks", "models") as running:
        yield running


def test_requests_of_different_lengths_are_batched(stack: Stack, cat: bytes) -> None:
    check_batches(stack, cat, "animals")


@pytest.mark.parametrize("model", ["detector", "classifier"])
def test_networks_that_are_models_batch_too(models_stack: Stack, cat: bytes, model: str) -> None:
    check_batches(models_stack, cat, model)


def test_both_ways_answer_the_same(stack: Stack, models_stack: Stack, cat_path: Path) -> None:
    """The same boxes, as the detector runs in the same engine, and the same names: the classifier does not."""
    photo = two_cats(cat_path)
    ours, theirs = (
        httpx.post(f"{running.url}/v1/classifications", content=photo, timeout=60).json()
        for running in (stack, models_stack)
    )
    assert ours["count"] == 2
    assert [ours[part] for part in ("count", "counts")] == [theirs[part] for part in ("count", "counts")]
    for box, other in zip(ours["boxes"], theirs["boxes"], strict=True):
        assert [box[side] for side in CORNERS] == [other[side] for side in CORNERS]
        assert names_of(box) == names_of(other)
    assert names_of(ours) == names_of(theirs)
    assert ours["taxon"]["score"] == pytest.approx(theirs["taxon"]["score"], abs=ROUNDING)


def names_of(answer: Any) -> tuple[str, str]:
    """The answer, and the likeliest species."""
    return answer["taxon"]["name"], answer["species"][0]["common_name"]


def check_batches(stack: Stack, cat: bytes, model: str) -> None:
    with over_grpc.InferenceServerClient(stack.triton_grpc) as client:
        before = statistics(client, stack.model(model))

        def classify(number: int) -> bytes:
            tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
            # Bytes after the end marker make every photo another length; decoders ignore them.
            tensor.set_data_from_numpy(np.array([[cat + bytes(number)]], dtype=object))
            return client.infer(stack.model("animals"), [tensor]).as_numpy("SPECIES_NAMES")[0, 0]

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            names = list(pool.map(classify, range(REQUESTS)))
        inferences, executions = 0, 0
        while inferences < REQUESTS:  # Triton counts a moment after it answers; the test's own limit ends this
            time.sleep(0.05)
            inferences, executions = np.subtract(statistics(client, stack.model(model)), before)
    assert names == [b"domestic cat"] * REQUESTS
    assert executions < inferences
