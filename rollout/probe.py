"""Whether a loaded release really answers: a photo goes through it before anybody's does."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Final

from contract.answer import AnswerReader, ContractBroken
from contract.manifest import TAXONOMY_NAME
from contract.photo_status import PhotoStatus
from contract.rollout import model_name
from contract.taxonomy import parse_taxonomy
from contract.tensors import ANIMALS
from rollout.errors import ReleaseBroken
from rollout.live import LiveRepository
from rollout.store.contents import MANIFEST_PATH, read_manifest
from rollout.triton import TritonControl, TritonRefused

PHOTOS: Final = 6
"""Asked one after the other: they warm up the instances, of which an idle one is picked each time."""

ANSWER_S: Final = 30.0
"""How long one may take, seconds; the first is the slowest, and the machine may be busy."""


async def probe(triton: TritonControl, live: LiveRepository, identity: str, photos: int = PHOTOS) -> None:
    """Ask a loaded release about a photo. Raises ReleaseBroken if it fails, breaks the contract, answers numbers that
    are not finite, or is another release than its name says; TritonAway."""
    reader = await asyncio.to_thread(_reader, live, identity)
    photo = resources.files("rollout.gates").joinpath("cat.jpg").read_bytes()
    for _ in range(photos):
        try:
            answer = reader.read(await triton.infer(model_name(ANIMALS, identity), photo, ANSWER_S))
        except TritonRefused as error:
            raise ReleaseBroken(f"It was loaded and fails on a photo: {error}") from error
        except ContractBroken as error:
            raise ReleaseBroken(f"It was loaded and its answer breaks the contract: {error}") from error
        if answer.release != identity:
            raise ReleaseBroken(f"It was loaded and answers as release {answer.release!r}.")
        if answer.status is not PhotoStatus.OK:
            raise ReleaseBroken(f"It was loaded and cannot open a sound photo: {answer.status.name.lower()}.")


def _reader(live: LiveRepository, identity: str) -> AnswerReader:
    try:
        version = MANIFEST_PATH.split("/")[1]
        name = MANIFEST_PATH.rpartition("/")[2]
        _, release = read_manifest(live.text(identity, f"{version}/{name}"), identity)
        taxonomy = parse_taxonomy(live.text(identity, f"{version}/{TAXONOMY_NAME}"))
    except (OSError, ValueError) as error:
        raise ReleaseBroken(f"Its taxonomy cannot be read: {error}") from error
    return AnswerReader(taxonomy, release.thresholds.coverage)
