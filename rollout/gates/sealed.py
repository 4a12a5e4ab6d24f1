"""The files of a release are those that its manifest names, all of them and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contract.preprocessing import IMAGE_SIZE
from contract.release import Release
from contract.tensors import ANIMALS, CLASSIFIER, DETECTOR, PREPROCESS
from rollout.errors import ReleaseBroken
from rollout.store.contents import MANIFEST_PATH, differing_files, read_manifest

KNOWN: Final = (PREPROCESS, DETECTOR, CLASSIFIER, ANIMALS)
"""Models that a release may consist of."""

NEEDED: Final = (CLASSIFIER, ANIMALS)

_TOLERATED: Final = "__pycache__"


def check_files(folder: Path) -> tuple[str, Release]:
    """Identity and manifest of the release in ``folder``.

    Raises ReleaseBroken for a manifest that cannot be read or holds impossible values, a file that is missing, has
    another digest, or that the manifest does not name, and for links, which a store would not follow.
    """
    try:
        text = (folder / MANIFEST_PATH).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ReleaseBroken(f"{folder} is no release: it has no manifest at {MANIFEST_PATH}.") from None
    identity, release = read_manifest(text)
    there = _paths(folder)
    strangers = sorted(there - release.files.keys() - {MANIFEST_PATH})
    if strangers:
        raise ReleaseBroken(
            f"{strangers[0]} of {identity} stands in no manifest{_others(strangers)}: remove it or export again."
        )
    missing = sorted(release.files.keys() - there)
    if missing:
        raise ReleaseBroken(f"{missing[0]} of {identity} is missing{_others(missing)}: export it again.")
    differing = differing_files(folder, release.files)
    if differing:
        raise ReleaseBroken(
            f"{differing[0]} of {identity} is not the file that its manifest names: its digest differs"
            f"{_others(differing)}. Export it again."
        )
    _check_values(identity, release)
    return identity, release


def _paths(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_symlink():
            raise ReleaseBroken(f"{name} is a link, and a release holds files only: copy what it points to.")
        if path.is_file() and _TOLERATED not in name.parts:
            found.add(name.as_posix())
    return found


def _check_values(identity: str, release: Release) -> None:
    unknown = sorted(release.models.keys() - set(KNOWN))
    lacking = sorted(set(NEEDED) - release.models.keys())
    if unknown or lacking:
        what = f"has the model {unknown[0]}, which nobody asks" if unknown else f"has no model {lacking[0]}"
        raise ReleaseBroken(f"Release {identity} {what}: it may hold {', '.join(KNOWN)}.")
    if release.image_size != IMAGE_SIZE:
        raise ReleaseBroken(f"Release {identity} wants pictures of {release.image_size} pixels; {IMAGE_SIZE} are made.")
    for name, value in release.thresholds:
        if not 0 <= value <= 1:
            raise ReleaseBroken(f"The threshold {name} of {identity} is {value}: it has to lie between 0 and 1.")


def _others(paths: list[str] | tuple[str, ...]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
