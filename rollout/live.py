"""The folder that one Triton loads from: releases side by side, each model under a name of its own.

animals.ab12cd34ef56/  classifier.ab12cd34ef56/  ...    the files of a release, as the store has them
.loading.ab12cd34ef56                                   while the agent loads it: it is asked to go gently
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from contract.manifest import loading_mark
from contract.rollout import model_name, tag_of
from contract.tensors import ANIMALS
from rollout.errors import ReleaseBroken
from rollout.ports import ModelStore
from rollout.store.contents import MANIFEST_PATH, differing_files, read_manifest

_INCOMING: Final = "incoming"


class LiveRepository:
    """One Triton's model repository, filled from a store. Nobody else writes to it."""

    def __init__(self, folder: Path, adapt: Callable[[Path], None] = lambda _: None) -> None:
        """``adapt``: called with the folder of a release's ``animals`` before Triton sees it, to add files of this
        machine's own; those of the release have to stay as they are."""
        self.folder = folder
        self._adapt = adapt
        self._incoming = folder.with_name(_INCOMING)

    async def add(self, store: ModelStore, identity: str) -> None:
        """Have a release's files here, each as its manifest says. Raises as ``ModelStore.fetch``, and OSError."""
        if await asyncio.to_thread(self._holds, identity):
            await asyncio.to_thread(self._adapt, self.folder / model_name(ANIMALS, identity))
            return
        await asyncio.to_thread(self.remove, identity)
        incoming = self._incoming / identity
        self._incoming.mkdir(parents=True, exist_ok=True)
        try:
            await store.fetch(identity, incoming)
            await asyncio.to_thread(self._place, identity, incoming)
        finally:
            await asyncio.to_thread(shutil.rmtree, incoming, ignore_errors=True)

    def remove(self, identity: str) -> None:
        """Remove a release's files, which Triton has to have unloaded. Blocks."""
        self.calm(identity, gently=False)
        for folder in self._folders(tag_of(identity)):
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, keep: Collection[str]) -> None:
        """Remove what no release of ``keep`` needs, and what a killed agent left. Blocks; before Triton starts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        tags = {tag_of(identity) for identity in keep}
        for entry in self.folder.iterdir():
            if entry.is_dir() and entry.name.partition(".")[2] not in tags:
                shutil.rmtree(entry, ignore_errors=True)
            elif not entry.is_dir():
                entry.unlink(missing_ok=True)

    def calm(self, identity: str, *, gently: bool) -> None:
        """Say, or say no longer, that a release has to load without getting into the champion's way."""
        mark = self.folder / loading_mark(f".{tag_of(identity)}")
        if gently:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def text(self, identity: str, path: str) -> str:
        """A text file of the release's ``animals``. Blocks; raises OSError."""
        return (self.folder / model_name(ANIMALS, identity) / path).read_text(encoding="utf-8")

    def _holds(self, identity: str) -> bool:
        """Whether all files of a release are here and as its manifest says. The manifest is placed last."""
        placed = self.folder / _placed(MANIFEST_PATH, identity)
        try:
            _, release = read_manifest(placed.read_text(encoding="utf-8"), identity)
        except (OSError, ValueError, ReleaseBroken):
            return False
        files = {_placed(path, identity): digest for path, digest in release.files.items() if "/" in path}
        return not differing_files(self.folder, files)

    def _place(self, identity: str, incoming: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        models = sorted(entry for entry in incoming.iterdir() if entry.is_dir())
        for model in sorted(models, key=lambda entry: entry.name == ANIMALS):
            if model.name == ANIMALS:
                self._adapt(model)
            model.rename(self.folder / model_name(model.name, identity))

    def _folders(self, tag: str) -> list[Path]:
        return [entry for entry in self.folder.glob(f"*.{tag}") if entry.is_dir()]


def _placed(path: str, identity: str) -> str:
    """``animals/1/model.py`` -> ``animals.ab12cd34ef56/1/model.py``."""
    model, _, rest = path.partition("/")
    return f"{model_name(model, identity)}/{rest}"
