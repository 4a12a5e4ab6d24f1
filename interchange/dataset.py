"""Records as a data set: each photo once, its newest result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from contract.record import Record


def latest(records: Iterable[Record], *, by_name: bool = False) -> Iterator[Record]:
    """The first result of each photo; ``records`` come newest first, as the service lists them.

    Photos are the same if their bytes and names are. ``by_name``: if their names are, for formats in which a file
    name is the identity; photos without a name are told apart by their bytes.
    """
    seen: set[bytes] = set()
    for record in records:
        photo = record.photo
        identity = photo.filename if by_name and photo.filename else f"{photo.sha256}/{photo.filename or ''}"
        digest = blake2b(identity.encode(errors="surrogatepass"), digest_size=12).digest()
        if digest not in seen:
            seen.add(digest)
            yield record


def file_of(record: Record) -> str:
    """The path that the photo was sent with, slashes forward; its name in the photo store where it had none."""
    return (record.photo.filename or record.photo.blob).replace("\\", "/")
