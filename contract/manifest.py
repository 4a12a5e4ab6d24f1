"""Where a release's manifest lies and what its identity is, without the weight of the manifest's schema."""

from __future__ import annotations

import hashlib
from typing import Final

MANIFEST_NAME: Final = "release.json"
TAXONOMY_NAME: Final = "taxonomy.csv"
"""Both lie in the version folder of the ``animals`` model, beside the code that reads them."""


def identity_of(name: str, manifest: str) -> str:
    """``name@digest``: 12 hex digits of the SHA-256 of the manifest's text."""
    return f"{name}@{hashlib.sha256(manifest.encode()).hexdigest()[:12]}"
