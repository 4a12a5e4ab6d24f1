"""One gateway's side of a rollout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.rollouts import Rollout, running_rollout


@pytest.fixture
async def rollout(tmp_path: Path) -> AsyncIterator[Rollout]:
    async with running_rollout(tmp_path) as running:
        yield running
