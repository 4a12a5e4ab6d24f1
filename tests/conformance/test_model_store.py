"""What every ModelStore must do. To put another implementation under it, add a line to ``OPENERS``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from contract.rollout import RolloutState
from rollout.errors import ReleaseBroken, ReleaseNotFound, StateConflict, StoreUnavailable
from rollout.ports import ModelStore
from rollout.store import open_model_store
from rollout.store.azure_blob import CONTAINER, AzureModelStore, connect
from rollout.store.contents import MANIFEST_PATH, differing_files
from tests.support.blob_fake import running_fake
from tests.support.releases import make_release, read_release

ABSENT = "9@0123456789ab"
TAXONOMY = "animals/1/taxonomy.csv"


@asynccontextmanager
async def in_directory(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[ModelStore]:
    opened = open_model_store(folder / "models")
    yield opened
    await opened.close()


@asynccontextmanager
async def in_azurite(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[ModelStore]:
    opened = connect(connection_string=request.getfixturevalue("azurite"))
    there = opened._client.get_container_client(CONTAINER)
    if await there.exists():
        async for name in there.list_blob_names():
            await there.delete_blob(name)
    yield opened
    await opened.close()


@asynccontextmanager
async def in_fake(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[ModelStore]:
    async with running_fake() as fake:
        opened: AzureModelStore = connect(connection_string=fake.connection_string)
        yield opened
        await opened.close()


OPENERS: dict[str, Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[ModelStore]]] = {
    "directory": in_directory,
    "azurite": in_azurite,
    "fake": in_fake,
}


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ModelStore]:
    async with OPENERS[request.param](request, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release; nobody changes it."""
    made = tmp_path_factory.mktemp("release") / "release"
    make_release(made, "two")
    return made


async def test_what_was_put_is_fetched_whole(store: ModelStore, folder: Path, tmp_path: Path) -> None:
    identity = await store.put(folder)
    assert identity == read_release(folder).identity
    assert await store.put(folder) == identity, "a second time is a no-op"
    assert await store.releases() == (identity,)
    assert await store.manifest(identity) == read_release(folder)
    target = tmp_path / "fetched"
    await store.fetch(identity, target)
    assert not differing_files(target, read_release(folder).files)
    assert (target / MANIFEST_PATH).read_bytes() == (folder / MANIFEST_PATH).read_bytes()
    await store.fetch(identity, target)
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.endswith("fetched")) == ["fetched"]


async def test_texts_are_read_with_their_digest(store: ModelStore, folder: Path) -> None:
    identity = await store.put(folder)
    assert await store.text(identity, TAXONOMY) == (folder / TAXONOMY).read_text()
    assert await store.text(identity, MANIFEST_PATH) == (folder / MANIFEST_PATH).read_text()
    with pytest.raises(ReleaseBroken):
        await store.text(identity, "animals/1/nothing.csv")


async def test_a_release_that_is_not_there_is_not_found(store: ModelStore, tmp_path: Path) -> None:
    assert await store.releases() == ()
    with pytest.raises(ReleaseNotFound):
        await store.manifest(ABSENT)
    with pytest.raises(ReleaseNotFound):
        await store.text(ABSENT, TAXONOMY)
    with pytest.raises(ReleaseNotFound):
        await store.fetch(ABSENT, tmp_path / "fetched")
    assert not list(tmp_path.glob("*fetched*"))
    await store.delete(ABSENT)


@pytest.mark.parametrize("identity", ["", "2", "../../etc@0123456789ab", "2@0123456789AB", "2@0123456789ab/..", ".@x"])
async def test_what_is_no_identity_is_not_found(store: ModelStore, identity: str) -> None:
    with pytest.raises(ReleaseNotFound):
        await store.manifest(identity)
    with pytest.raises(ReleaseNotFound):
        await store.delete(identity)


@pytest.mark.parametrize("spoil", ["digest mismatch", "missing file", "no manifest", "broken manifest"])
async def test_a_broken_release_is_refused_and_nothing_of_it_kept(
    store: ModelStore, tmp_path: Path, spoil: str
) -> None:
    broken = tmp_path / "broken"
    make_release(broken, "broken", "digest mismatch" if spoil == "digest mismatch" else "")
    if spoil == "missing file":
        (broken / "classifier" / "labels.txt").unlink()
    elif spoil == "no manifest":
        (broken / MANIFEST_PATH).unlink()
    elif spoil == "broken manifest":
        (broken / MANIFEST_PATH).write_text("{}")
    with pytest.raises(ReleaseBroken):
        await store.put(broken)
    assert await store.releases() == ()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "animals/../../x", "animals//x", ".hidden", ""])
async def test_a_manifest_does_not_lead_out_of_the_release(store: ModelStore, tmp_path: Path, path: str) -> None:
    broken = tmp_path / "broken"
    make_release(broken, "broken")
    release = read_release(broken)
    (broken / MANIFEST_PATH).write_text(release.model_copy(update={"files": {path: "0" * 64}}).to_json())
    with pytest.raises(ReleaseBroken):
        await store.put(broken)


async def test_a_deleted_release_is_gone(store: ModelStore, folder: Path) -> None:
    identity = await store.put(folder)
    await store.delete(identity)
    assert await store.releases() == ()
    with pytest.raises(ReleaseNotFound):
        await store.text(identity, TAXONOMY)
    assert await store.put(folder) == identity


async def test_a_state_is_swapped_only_by_who_read_the_newest(store: ModelStore) -> None:
    assert await store.state() is None
    first = RolloutState(champion="1@0123456789ab", generation=1)
    version = await store.write_state(first, None)
    read = await store.state()
    assert read is not None
    assert (read.state, read.version) == (first, version)
    with pytest.raises(StateConflict):
        await store.write_state(first.model_copy(update={"generation": 7}), None)
    second = first.model_copy(update={"generation": 2})
    newer = await store.write_state(second, version)
    with pytest.raises(StateConflict):
        await store.write_state(first.model_copy(update={"generation": 8}), version)
    read = await store.state()
    assert read is not None
    assert (read.state, read.version) == (second, newer)


async def test_of_many_writers_at_once_each_wins_exactly_once(store: ModelStore) -> None:
    await store.write_state(RolloutState(champion="1@0123456789ab"), None)

    async def add(writer: int) -> None:
        while True:
            read = await store.state()
            assert read is not None
            refused = {**read.state.refused, f"{writer}@0123456789ab": ""}
            after = read.state.model_copy(update={"generation": read.state.generation + 1, "refused": refused})
            try:
                await store.write_state(after, read.version)
            except StateConflict:
                continue
            return

    await asyncio.gather(*(add(writer) for writer in range(8)))
    read = await store.state()
    assert read is not None
    assert read.state.generation == len(read.state.refused) == 8


async def test_reports_are_replaced_and_dropped(store: ModelStore) -> None:
    assert await store.reports("replicas") == {}
    await store.report("replicas", "vm-1", "{}")
    await store.report("replicas", "vm-1", '{"a": 1}')
    await store.report("replicas", "vm-2", "{}")
    await store.report("gateways", "vm-1", '{"b": 2}')
    assert await store.reports("replicas") == {"vm-1": '{"a": 1}', "vm-2": "{}"}
    assert await store.reports("gateways") == {"vm-1": '{"b": 2}'}
    await store.drop_report("replicas", "vm-1")
    await store.drop_report("replicas", "vm-1")
    assert await store.reports("replicas") == {"vm-2": "{}"}
    with pytest.raises(ValueError, match="cannot name"):
        await store.report("replicas", "../vm", "{}")


async def test_a_changed_file_is_noticed_when_it_is_fetched(folder: Path, tmp_path: Path) -> None:
    store = open_model_store(tmp_path / "models")
    identity = await store.put(folder)
    kept = tmp_path / "models" / "releases" / identity
    (kept / TAXONOMY).write_text("changed")
    with pytest.raises(ReleaseBroken, match="digest"):
        await store.text(identity, TAXONOMY)
    with pytest.raises(ReleaseBroken, match="digest"):
        await store.fetch(identity, tmp_path / "fetched")
    assert not list(tmp_path.glob("*fetched*"))
    (kept / MANIFEST_PATH).write_text((kept / MANIFEST_PATH).read_text().replace('"two"', '"three"'))
    with pytest.raises(ReleaseBroken, match="changed"):
        await store.manifest(identity)


async def test_a_state_that_cannot_be_read_is_never_written_over(tmp_path: Path) -> None:
    store = open_model_store(tmp_path)
    version = await store.write_state(RolloutState(champion="1@0123456789ab"), None)
    (tmp_path / "rollout" / "state.json").write_text("{")
    with pytest.raises(StoreUnavailable, match="restore"):
        await store.state()
    with pytest.raises(StoreUnavailable):
        await store.write_state(RolloutState(champion="2@0123456789ab"), version)
    assert (tmp_path / "rollout" / "state.json").read_text() == "{"


@pytest.mark.parametrize("where", ["http://NAME.blob.core.windows.net", "https://a.b/?sig=x", "s3://bucket"])
def test_an_address_that_is_none_is_said(where: str) -> None:
    with pytest.raises(StoreUnavailable, match="https://NAME"):
        open_model_store(where)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        open_model_store(tmp_path / "file")
