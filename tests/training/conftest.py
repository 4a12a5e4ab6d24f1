"""The data directory: ``BESTIARY_DATA``, or ``shared/data`` beside the repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def data() -> Path:
    directory = Path(os.environ.get("BESTIARY_DATA", ROOT.parent / "shared" / "data"))
    if not (directory / "manifest.csv").is_file():
        pytest.skip(f"no data set at {directory}")
    return directory
