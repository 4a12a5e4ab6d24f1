"""Photos of different requests share executions of the models."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as over_grpc

from tests.support.stack import Stack

REQUESTS = 96
CONCURRENCY = 24


def statistics(client: over_grpc.InferenceServerClient, model: str) -> tuple[int, int]:
    found = client.get_inference_statistics(model).model_stats[0]
    return found.inference_count, found.execution_count


@pytest.mark.parametrize("model", ["animals", "detector", "classifier"])
def test_requests_of_different_lengths_are_batched(stack: Stack, cat: bytes, model: str) -> None:
    with over_grpc.InferenceServerClient(stack.triton_grpc) as client:
        before = statistics(client, model)

        def classify(number: int) -> bytes:
            tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
            # Bytes after the end marker make every photo another length; decoders ignore them.
            tensor.set_data_from_numpy(np.array([[cat + bytes(number)]], dtype=object))
            return client.infer("animals", [tensor]).as_numpy("SPECIES_NAMES")[0, 0]

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            names = list(pool.map(classify, range(REQUESTS)))
        inferences, executions = 0, 0
        while inferences < REQUESTS:  # Triton counts a moment after it answers; the test's own limit ends this
            time.sleep(0.05)
            inferences, executions = np.subtract(statistics(client, model), before)
    assert names == [b"domestic cat"] * REQUESTS
    assert executions < inferences
