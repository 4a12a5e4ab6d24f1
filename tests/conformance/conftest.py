"""Servers that several conformance suites ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.azurite import running_azurite


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of one emulator for all tests of a module; each empties what it uses."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string
