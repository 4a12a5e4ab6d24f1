"""Sources of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.datasets import photo, write


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Twelve photos of each of two species and four blanks, a folder a class."""
    files = {f"lion/{n}.jpg": photo(n) for n in range(12)} | {f"bald uakari/{n}.jpg": photo(n + 50) for n in range(12)}
    return write(tmp_path / "animals", files | {f"blank/{n}.jpg": photo(n + 100) for n in range(4)})


@pytest.fixture
def stills(tmp_path: Path) -> Callable[..., Path]:
    """A folder of numbered photos, ``0.jpg``..., and what is in it."""

    def make(count: int, **options: Any) -> Path:
        return write(tmp_path / "stills", {f"{n}.jpg": photo(n, **options) for n in range(count)})

    return make
