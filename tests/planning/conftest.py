from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.options import Task
from planning.curves import Cell, Curves, Profile

Make = Callable[..., Curves]


@pytest.fixture
def curves() -> Make:
    """Curves of a machine with ``cores``; ``slow`` is the slowdown of 1, 2, ... busy instances; nothing but service
    costs anything unless it is said."""

    def make(
        *, cores: int = 1, ms: float = 10.0, each: float | None = None, slow: tuple[float, ...] = (1.0,),
        ratios: tuple[float, ...] = (1.0,), device: str = "cpu", fsync_ms: tuple[float, ...] = (0.0,), **more: float,
    ) -> Curves:  # fmt: skip
        each = ms if each is None else each
        cells = tuple(
            Cell(batch=batch, busy=busy, ms=(ms + each * (batch - 1)) * factor, ratios=ratios)
            for batch in (1, 2, 4, 8)
            for busy, factor in enumerate(slow, 1)
        )
        costs = dict.fromkeys(("edge_loop_ms", "edge_threads_ms", "triton_ms", "client_ms", "rest_ms"), 0.0) | more
        profile = Profile(task=Task.SPECIES, photos="small", photo_bytes=30_000, service=cells, **costs)
        return Curves(
            name="made", measured="2026-11-23", note="", processor="made", cores=cores, physical_cores=cores,
            device=device, fsync_ms=fsync_ms, profiles=(profile,),
        )  # fmt: skip

    return make
