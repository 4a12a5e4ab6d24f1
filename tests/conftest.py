"""Photos and servers that tests of any package may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage.data

from contract.record import Record
from tests.support.photos import DATA, encode
from tests.support.records import made_record
from tests.support.stack import Stack, running_stack

# What a command prints in this process is plain, whatever the environment says: typer decides when it is imported.
os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for all tests that only use it."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def cat_path() -> Path:
    """The cat that scikit-image bundles, a PNG of 451 x 300 pixels."""
    return Path(skimage.data.__file__).parent / "chelsea.png"


@pytest.fixture(scope="session")
def cat(cat_path: Path) -> bytes:
    """The cat as a JPEG."""
    return encode(cat_path, "JPEG", quality=92)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of whole photos outside the project; the test is skipped where it is not there."""
    folder = DATA / "photos"
    if not folder.is_dir():
        pytest.skip("no photos beside the project")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The data set outside the project; the test is skipped where it is not there."""
    if not (DATA / "manifest.csv").is_file():
        pytest.skip("no data set beside the project")
    return DATA


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """Records as the gateway makes them: ids in the order of the calls."""
    return made_record
