"""Which store the settings give, and that Azure's packages are loaded for it only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.errors import BlobRefused, StorageUnavailable
from gateway.settings import Settings
from gateway.storage.blobs import open_blobs
from gateway.storage.directory import DirectoryBlobStore
from tests.support.blob_fake import running_fake
from tests.support.stack import ROOT


async def test_a_directory_is_the_default_and_has_no_links(tmp_path: Path) -> None:
    blobs = await open_blobs(Settings(data_dir=tmp_path), SystemClock())
    assert isinstance(blobs.store, DirectoryBlobStore)
    assert blobs.links is None
    assert blobs.references.name_of("datasets/a.jpg") == "datasets/a.jpg"
    await blobs.store.close()


async def test_azure_is_opened_with_its_containers_links_and_references(tmp_path: Path) -> None:
    async with running_fake() as fake:
        settings = Settings(
            data_dir=tmp_path,
            blobs="azure",
            blob_connection_string=fake.connection_string,
            blob_reference_containers=("uploads",),
            blob_link_ttl_s=60,
        )
        blobs = await open_blobs(settings, SystemClock())
        assert sorted(fake.containers) == ["datasets", "models", "processed", "uploads"]
        await blobs.store.put("uploads/a.jpg", b"photo")
        assert blobs.links is not None
        url = (await blobs.links.link("uploads/a.jpg")).url
        assert blobs.references.name_of(url.partition("?")[0]) == "uploads/a.jpg"
        with pytest.raises(BlobRefused):
            blobs.references.name_of("datasets/a.jpg")
        await blobs.store.close()
        assert fake.key not in repr(settings)
    assert list(tmp_path.iterdir()) == []


async def test_an_account_that_is_away_stops_the_start_and_leaves_nothing_open() -> None:
    async with running_fake() as gone:
        pass
    with pytest.raises(StorageUnavailable):
        await open_blobs(Settings(blobs="azure", blob_connection_string=gone.connection_string), SystemClock())


async def test_azure_without_an_account_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="BESTIARY_BLOB_ACCOUNT_URL or BESTIARY_BLOB_CONNECTION_STRING"):
        await open_blobs(Settings(blobs="azure"), SystemClock())


async def test_a_missing_extra_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.storage.azure_blob", raising=False)
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    with pytest.raises(ValueError, match=r"pip install 'bestiary\[azure\]'"):
        await open_blobs(Settings(blobs="azure", blob_connection_string="x"), SystemClock())


def test_blob_storage_is_imported_only_where_it_is_asked_for() -> None:
    program = "import gateway.server, sys; assert not any(name.startswith('azure.storage') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
