"""Constant load beside something else: Poisson arrivals in stretches, until the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from benchmarks.load import Generator, Sample, Target

STRETCH_S: Final = 10.0
"""The generator plans so far ahead; between stretches it pauses for some milliseconds."""


class Background:
    """Sends photos from ``__enter__`` to ``__exit__``. Raises GeneratorError there if the generator died."""

    def __init__(
        self, address: str, photos: Sequence[bytes], per_s: float, tasks: str = "species", *, alike: bool = False
    ) -> None:
        """``alike``: every stretch has the same arrivals, so that the p99 of one, which is that of its bursts, can be
        held against that of another."""
        self._alike = alike
        self._generator = Generator(Target(address, tuple(photos), tasks))
        self._per_s = per_s
        self._samples: list[Sample] = []
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Background:
        self._generator.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._generator.__exit__(*error)
        if self._error is not None:
            raise self._error

    def samples(self) -> list[Sample]:
        """Every photo of the stretches that have ended, in order of the planned times."""
        with self._lock:
            return list(self._samples)

    def _run(self) -> None:
        seed = 0
        try:
            while not self._ended.is_set():
                samples = self._generator.open(self._per_s, STRETCH_S, seed)
                seed += not self._alike
                with self._lock:
                    self._samples.extend(samples)
        except Exception as error:  # noqa: BLE001  # told to the caller
            self._error = error
