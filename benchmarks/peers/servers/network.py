"""What every peer does with a photo: decode it whole, stretch it, ask the network, name the five best species.

It runs in a peer's own environment (``benchmarks.peers.environments``), where nothing of this project is installed. The
launcher says by environment variables what to serve.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

SIZE = 224
BEST = 5


def setting(name: str, default: str = "") -> str:
    """The environment variable ``PEER_<name>``."""
    return os.environ.get(f"PEER_{name}", default)


class Network:
    """One onnxruntime session of the classifier, with as many threads as ``PEER_THREADS`` says (default one)."""

    def __init__(self) -> None:
        cv2.setNumThreads(int(setting("THREADS", "1")))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(setting("THREADS", "1"))
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(setting("MODEL"), options, providers=["CPUExecutionProvider"])
        self._labels = Path(setting("LABELS")).read_text().splitlines()

    def decode(self, photo: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """``SIZE`` x ``SIZE`` x 3, RGB, UINT8; upright. Raises ValueError for what is no photo."""
        pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise ValueError("This is no photo that can be decoded: send a JPEG.")
        return cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)

    def name(self, images: Sequence[np.ndarray[Any, np.dtype[np.uint8]]]) -> list[dict[str, Any]]:
        """For each image the labels and probabilities of the five best species, best first."""
        probabilities = self._session.run(["PROBABILITIES"], {"IMAGE": np.stack(images)})[0]
        return [self._answer(row) for row in probabilities]

    def classify(self, photo: bytes) -> dict[str, Any]:
        """One photo from bytes to names."""
        return self.name([self.decode(photo)])[0]

    def _answer(self, row: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Any]:
        best = np.argsort(row)[: -BEST - 1 : -1]
        return {"labels": [self._labels[at] for at in best], "scores": [float(row[at]) for at in best]}
