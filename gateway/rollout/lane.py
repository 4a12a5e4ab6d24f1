"""One release on Triton: what its model is called there, and how its answers are read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.answer import Answer, AnswerReader, ContractBroken
from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME
from contract.release import Release
from contract.rollout import Bounds, model_name
from contract.taxonomy import parse_taxonomy
from contract.tensors import ANIMALS
from gateway.errors import ModelFailed
from gateway.ports import ReleaseStatus
from rollout.errors import ReleaseBroken
from rollout.ports import ModelStore


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A release that can be asked."""

    identity: str
    model: str
    """Its ``animals`` in Triton."""
    reader: AnswerReader
    bounds: Bounds
    checked: bool = True
    """Whether every answer has to name the release."""

    def read(self, tensors: Mapping[str, bytes]) -> Answer:
        """An answer in words. Raises ModelFailed if it breaks the contract or is another release's."""
        try:
            answer = self.reader.read(tensors)
        except ContractBroken as error:
            raise ModelFailed(
                "The model's reply does not follow the tensor contract: tell the operator, the release is broken."
            ) from error
        if self.checked and answer.release != self.identity:
            raise ModelFailed(
                "Another release answered than was asked: tell the operator, the model server has the wrong files."
            ) from ValueError(f"{self.model} answers as {answer.release!r} instead of {self.identity!r}")
        return answer


def lane_of(release: Release, taxonomy: str, identity: str) -> Lane:
    """The lane of a release, from the text of its taxonomy. Raises ValueError if that is none."""
    reader = AnswerReader(parse_taxonomy(taxonomy), release.thresholds.coverage)
    return Lane(identity, model_name(ANIMALS, identity), reader, release.bounds)


def fixed_lane(release_dir: Path) -> Lane:
    """The lane of the one release in ``release_dir``, under its plain name in Triton. Raises OSError, ValueError."""
    release = Release.model_validate_json((release_dir / MANIFEST_NAME).read_text())
    reader = AnswerReader(parse_taxonomy((release_dir / TAXONOMY_NAME).read_text()), release.thresholds.coverage)
    return Lane(release.identity, ANIMALS, reader, release.bounds, checked=False)


async def stored_lane(store: ModelStore, identity: str) -> Lane:
    """The lane of a release in the model store. Raises ReleaseNotFound, ReleaseBroken, StoreUnavailable."""
    release = await store.manifest(identity)
    version = release.models.get(ANIMALS, 1)
    taxonomy = await store.text(identity, f"{ANIMALS}/{version}/{TAXONOMY_NAME}")
    try:
        return await asyncio.to_thread(lane_of, release, taxonomy, identity)
    except ValueError as error:
        raise ReleaseBroken(f"The taxonomy of {identity} cannot be read ({error}): export it again.") from error


class FixedRelease:
    """The ``Releases`` port where one release answers for good."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def check(self) -> str:
        """Nothing can be missing."""
        return "ok"

    def status(self) -> ReleaseStatus:
        """A champion and nothing else."""
        return ReleaseStatus(champion=self._lane.identity)
