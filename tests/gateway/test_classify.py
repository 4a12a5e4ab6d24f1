"""The use case with real storage and a model server that does as it is told."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.answer import AnswerReader, failed_row
from contract.options import Options, Task
from contract.photo_status import PhotoStatus
from contract.priority import Priority
from contract.record import AckLevel, RecordStatus, Verdict
from contract.rollout import Bounds
from contract.taxonomy import NO_ANIMAL, Depth, parse_taxonomy
from contract.tensors import ANIMALS, SPECIES_IDS, SPECIES_SCORES, TAXON, TAXON_SCORE, TOP_K
from gateway.classify import Classifier, Request
from gateway.clock import SystemClock
from gateway.errors import (
    BestiaryError,
    DeadlineExceeded,
    ModelFailed,
    ModelUnavailable,
    PhotoRejected,
    RecordNotFound,
    StorageUnavailable,
)
from gateway.metrics import Metrics
from gateway.rollout.lane import Lane
from gateway.rollout.plan import Plan
from gateway.rollout.router import Router
from gateway.rollout.shadow import Shadow
from gateway.storage.directory import DirectoryBlobStore
from gateway.storage.journal import FileJournal
from imaging.header import read_header
from tests.support.stack import ROOT

TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())


def reply(
    key: str, score: float, depth: Depth = Depth.SPECIES, status: PhotoStatus = PhotoStatus.OK
) -> dict[str, bytes]:
    """A reply that names one leaf."""
    row = failed_row(status)
    row[TAXON.name] = struct.pack("<2i", TAXONOMY.by_key(key).index if depth >= Depth.CLASS else -1, depth)
    row[TAXON_SCORE.name] = struct.pack("<f", score)
    row[SPECIES_IDS.name] = struct.pack(f"<{TOP_K}i", TAXONOMY.by_key(key).index, *[-1] * (TOP_K - 1))
    row[SPECIES_SCORES.name] = struct.pack(f"<{TOP_K}f", score, *[0] * (TOP_K - 1))
    return row


class Model:
    """A TensorServer whose next answer the test decides."""

    def __init__(self) -> None:
        self.answer: Callable[[], dict[str, bytes]] = lambda: reply("beagle", 0.9)
        self.delay_s = 0.0
        self.deadlines: list[float] = []
        self.options: list[Options] = []

    async def infer(
        self, model: str, photo: bytes, *, deadline: float, options: Options, priority: Priority
    ) -> dict[str, bytes]:
        self.deadlines.append(deadline)
        self.options.append(options)
        await asyncio.sleep(self.delay_s)
        return self.answer()

    async def ready(self, model: str) -> bool:
        return True

    async def config(self, model: str) -> None:
        raise NotImplementedError

    async def statistics(self, model: str) -> None:
        raise NotImplementedError


class World:
    """The classifier with what is around it."""

    def __init__(self, root: Path, journal: FileJournal) -> None:
        self.model = Model()
        self.journal = journal
        self.blobs = DirectoryBlobStore(root / "blobs")
        self.stages: list[str] = []
        clock, metrics = SystemClock(), Metrics()
        lane = Lane("", ANIMALS, AnswerReader(TAXONOMY, coverage=0.95), Bounds())
        shadow = Shadow(self.model, clock, metrics, lambda: False)
        self.classifier = Classifier(
            inspect=read_header,
            model=Router(self.model, clock, shadow, metrics, 0.25, Plan(lane)),
            blobs=self.blobs,
            journal=journal,
            clock=clock,
            observe=lambda stage, seconds: self.stages.append(stage),
        )

    async def classify(self, photo: bytes, timeout_s: float = 10.0, ack: AckLevel = AckLevel.DURABLE):  # type: ignore[no-untyped-def]
        return await self.classifier.classify(Request(photo, time.monotonic() + timeout_s, "x.jpg", ack))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    journal = await FileJournal.open(tmp_path / "journal", SystemClock())
    made = World(tmp_path, journal)
    yield made
    await made.classifier.close(10)
    await journal.close()
    await made.blobs.close()


async def test_a_record_names_the_species_and_the_photo_is_kept(world: World, cat: bytes) -> None:
    outcome = await world.classify(cat)
    record = outcome.record
    assert record.verdict is Verdict.ANIMAL
    assert (record.species[0].common_name, record.species[0].variety) == ("domestic dog", "beagle")
    assert len(record.species) == 1, "padding is no species"
    assert record.count is None
    assert await world.blobs.get(record.photo.blob) == cat
    assert world.journal.undrained(record.id) == record
    assert set(world.stages) == {"blob", "triton", "journal"}


@pytest.mark.parametrize(
    ("key", "depth", "verdict", "name"),
    [
        ("beagle", Depth.SPECIES, Verdict.ANIMAL, "domestic dog"),
        ("beagle", Depth.FAMILY, Verdict.ANIMAL, "Canidae (family)"),
        ("beagle", Depth.ANIMAL, Verdict.ANIMAL, "animal"),
        ("beagle", Depth.UNKNOWN, Verdict.UNKNOWN, "unknown"),
        (NO_ANIMAL, Depth.EMPTY, Verdict.EMPTY, None),
    ],
)
async def test_the_answer_is_as_narrow_as_the_model_says(
    world: World, cat: bytes, key: str, depth: Depth, verdict: Verdict, name: str | None
) -> None:
    world.model.answer = lambda: reply(key, 0.6, depth)
    record = (await world.classify(cat)).record
    assert record.verdict is verdict
    assert (record.taxon and record.taxon.common_name) == name


async def test_a_cut_off_photo_that_was_answered_is_marked_partial(world: World, cat: bytes) -> None:
    world.model.answer = lambda: reply("beagle", 0.9, status=PhotoStatus.PARTIAL)
    assert (await world.classify(cat)).record.status is RecordStatus.PARTIAL


async def test_the_options_reach_the_model_and_the_task_the_record(world: World, cat: bytes) -> None:
    options = Options(Task.COUNT, detect_from=0.3)
    request = Request(cat, time.monotonic() + 10, options=options)
    record = (await world.classifier.classify(request)).record
    assert world.model.options == [options]
    assert record.tasks is Task.COUNT


async def test_a_photo_that_the_decoder_refuses_is_rejected_with_its_reason(world: World, cat: bytes) -> None:
    world.model.answer = lambda: failed_row(PhotoStatus.TRUNCATED)
    with pytest.raises(PhotoRejected) as caught:
        await world.classify(cat)
    assert caught.value.reason == "truncated"
    assert world.journal.undrained_records == 0


async def test_no_photo_at_all_never_reaches_the_model(world: World) -> None:
    with pytest.raises(PhotoRejected):
        await world.classify(b"text")
    assert world.model.deadlines == []


@pytest.mark.parametrize("broken", ["SPECIES_IDS", "STATUS", "RELEASE"])
async def test_a_reply_that_breaks_the_contract_is_the_models_fault(world: World, cat: bytes, broken: str) -> None:
    world.model.answer = lambda: {name: raw for name, raw in reply("beagle", 0.9).items() if name != broken}
    with pytest.raises(ModelFailed):
        await world.classify(cat)
    world.model.answer = lambda: reply("beagle", 0.9) | {broken: b"\1"}
    with pytest.raises(ModelFailed):
        await world.classify(cat)


async def test_the_deadline_reaches_the_model_and_ends_the_wait(world: World, cat: bytes) -> None:
    world.model.delay_s = 30
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await world.classify(cat, timeout_s=0.2)
    assert world.model.deadlines[0] <= started + 1
    with pytest.raises(DeadlineExceeded):
        await world.classify(cat, timeout_s=-1)
    assert len(world.model.deadlines) == 1, "no work for a caller that is gone"


async def test_a_model_that_is_away_is_said_as_such(world: World, cat: bytes) -> None:
    def away() -> dict[str, bytes]:
        raise ModelUnavailable("away")

    world.model.answer = away
    with pytest.raises(ModelUnavailable):
        await world.classify(cat)
    assert world.journal.undrained_records == 0


async def test_a_photo_that_cannot_be_kept_is_not_acknowledged(world: World, cat: bytes) -> None:
    await world.blobs.close()
    with pytest.raises(BestiaryError) as caught:
        await world.classify(cat)
    assert isinstance(caught.value, StorageUnavailable)
    assert world.journal.undrained_records == 0


async def test_accepted_does_not_wait_for_the_disk_but_reaches_it(world: World, cat: bytes) -> None:
    record = (await world.classify(cat, ack=AckLevel.ACCEPTED)).record
    await world.classifier.close(10)
    assert world.journal.undrained(record.id) == record


async def test_stored_waits_until_the_drain_has_stored(world: World, cat: bytes) -> None:
    waiting = asyncio.create_task(world.classify(cat, ack=AckLevel.STORED))
    batch = await anext(aiter(world.journal.batches()))
    assert not waiting.done()
    await world.journal.commit(batch)
    assert (await waiting).record.id == batch[0].id


async def test_a_blob_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(RecordNotFound):
        await world.blobs.get("uploads/aa/none.jpg")


async def test_a_photo_that_was_not_answered_leaves_no_bytes_behind(world: World, cat: bytes, tmp_path: Path) -> None:
    world.model.answer = lambda: failed_row(PhotoStatus.TRUNCATED)
    for _ in range(3):
        with pytest.raises(PhotoRejected):
            await world.classify(cat)
    await world.classifier.close(10)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_a_refused_photo_does_not_take_an_answered_one_with_it(world: World, cat: bytes) -> None:
    record = (await world.classify(cat)).record
    world.model.answer = lambda: failed_row(PhotoStatus.TRUNCATED)
    with pytest.raises(PhotoRejected):
        await world.classify(cat)
    await world.classifier.close(10)
    assert await world.blobs.get(record.photo.blob) == cat
