"""What every model store checks: names, manifests and digests of a release's files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from pydantic import ValidationError

from contract.manifest import MANIFEST_NAME, identity_of
from contract.release import Release
from contract.rollout import RolloutState
from contract.tensors import ANIMALS
from rollout.errors import ReleaseBroken, ReleaseNotFound, StoreUnavailable

MANIFEST_PATH: Final = f"{ANIMALS}/1/{MANIFEST_NAME}"
"""Where the manifest lies in a release; the version folder is always 1."""

PIECE_BYTES: Final = 1 << 20

_IDENTITY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[0-9a-f]{12}")
_REPORTER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_identity(identity: str) -> str:
    """The identity, which is then a safe name of a folder. Raises ReleaseNotFound for anything else."""
    if not _IDENTITY.fullmatch(identity):
        raise ReleaseNotFound(f"{identity!r} is no release's identity: it looks like 2@0123456789ab.")
    return identity


def check_reporter(name: str) -> str:
    """The name of a replica or gateway, which is then a safe name of a file. Raises ValueError for anything else."""
    if not _REPORTER.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a report: use letters, digits, dots, dashes and underscores.")
    return name


def read_manifest(text: str, identity: str | None = None) -> tuple[str, Release]:
    """Identity and content of the manifest in ``text``, which has to be that of ``identity`` if one is given.

    The identity is of the text itself, as a manifest of an older schema is written otherwise today.
    Raises ReleaseBroken.
    """
    of = identity or "this release"
    try:
        release = Release.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its text"
        message = f"The manifest of {of} cannot be read ({where}: {first['msg']}): export it again."
        raise ReleaseBroken(message) from None
    found = identity_of(release.name, text)
    if identity is not None and found != identity:
        raise ReleaseBroken(f"The manifest of {identity} was changed: it is that of {found}. Publish it again.")
    if not _IDENTITY.fullmatch(found):
        raise ReleaseBroken(f"{release.name!r} cannot name a release: use at most 64 letters, digits, dots, dashes.")
    for path in release.files:
        _check_path(path)
    return found, release


def read_state(text: str, where: str) -> RolloutState:
    """The rollout's state. Raises StoreUnavailable if it is none, as nobody may write over what he cannot read."""
    try:
        return RolloutState.model_validate_json(text)
    except ValidationError:
        raise StoreUnavailable(f"The rollout's state in {where} cannot be read: restore rollout/state.json.") from None


def expected_digest(release: Release, path: str) -> str:
    """SHA-256 of one of the release's files, in hex. Raises ReleaseBroken if it has no such file."""
    try:
        return release.files[path]
    except KeyError:
        raise ReleaseBroken(f"Release {release.name} has no file {path}.") from None


def wrong_digest(identity: str, path: str) -> ReleaseBroken:
    """The error for a file whose content is not what the manifest says."""
    return ReleaseBroken(f"{path} of {identity} is not the file that its manifest names: its digest differs.")


def copy_checked(source: BinaryIO, target: BinaryIO, expected: str) -> bool:
    """Copy to the end; whether what was written has the SHA-256 ``expected``. Raises OSError."""
    digest = hashlib.sha256()
    while piece := source.read(PIECE_BYTES):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest() == expected


def differing_files(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Paths of ``files`` (path -> SHA-256) that are missing below ``folder`` or have another content. Blocks."""
    return tuple(path for path, expected in files.items() if _digest(folder / path) != expected)


def _digest(file: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while piece := opened.read(PIECE_BYTES):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    plain = path == "/".join(parts) and not path.startswith("/") and "\\" not in path and "\0" not in path
    if not parts or not plain or ".." in parts or any(part.startswith(".") for part in parts):
        raise ReleaseBroken(f"The manifest names {path!r}, which is no path below a release: export it again.")
