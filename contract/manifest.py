"""Where a release's manifest lies and what its identity is, without the weight of the manifest's schema."""

from __future__ import annotations

import hashlib
from typing import Final

from contract.tensors import ANIMALS

MANIFEST_NAME: Final = "release.json"
TAXONOMY_NAME: Final = "taxonomy.csv"
"""Both lie in the version folder of the ``animals`` model, beside the code that reads them."""


def identity_of(name: str, manifest: str) -> str:
    """``name@digest``: 12 hex digits of the SHA-256 of the manifest's text."""
    return f"{name}@{hashlib.sha256(manifest.encode()).hexdigest()[:12]}"


def suffix_of(name: str) -> str:
    """What ``animals`` appends to the names of the models beside it: ``.ab12cd34ef56``, or '' without a rollout."""
    return name.removeprefix(ANIMALS)


def loading_mark(suffix: str) -> str:
    """File in the model repository while the sync agent loads a release there: its models then keep out of the way of
    the one that answers."""
    return f".loading{suffix}"
