"""How blobs are named and which of them a caller may refer to. Pure: it parses, and connects to nothing.

A name is ``container/path`` on every store: ``uploads/ab/abcd.jpg``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gateway.errors import BlobRefused, InvalidRequest

UPLOADS: Final = "uploads"
"""Photos as they came, named by their content."""
CONTAINERS: Final = (UPLOADS, "processed", "datasets", "models")
"""All that the service uses."""

MAX_NAME: Final = 1024
"""Characters; Azure's limit for the part after the container."""
MAX_SEGMENT: Final = 255
"""Bytes between two slashes; the limit of file systems."""

_NEVER: Final = frozenset('\\?#%"<>|*:')
"""Characters that mean something in a URL or on a file system. A percent sign is one of them: nothing here is ever
decoded, so that two readers cannot read one name in two ways."""


def split_name(name: str) -> tuple[str, str]:
    """``container/path`` as its two parts. Raises InvalidRequest if it is not the name of a blob here."""
    container, _, path = name.partition("/")
    if container not in CONTAINERS or len(name) > MAX_NAME or not all(map(_plain, path.split("/"))):
        raise InvalidRequest(
            f"A blob's name is a container ({', '.join(CONTAINERS)}) and a plain path, such as uploads/ab/abcd.jpg."
        )
    return container, path


def _plain(segment: str) -> bool:
    """Whether it is an ordinary name: not empty, not hidden, no ``..``, nothing invisible, nothing of ``_NEVER``."""
    return (
        bool(segment)
        and segment.isprintable()  # no lone surrogate either, so that it can be encoded
        and not segment.startswith((".", " "))
        and not segment.endswith((".", " "))  # Azure drops a final dot, and then it is another blob
        and len(segment.encode()) <= MAX_SEGMENT
        and _NEVER.isdisjoint(segment)
    )


class BlobReferences:
    """Which blobs callers may have classified: those in some containers of the one configured account."""

    def __init__(self, containers: Collection[str], account_url: str = "") -> None:
        """``account_url`` e.g. ``https://wildlife.blob.core.windows.net``; '' where there is none (a directory).

        Raises ValueError for a container that the service does not know.
        """
        if unknown := set(containers) - set(CONTAINERS):
            raise ValueError(f"{', '.join(sorted(unknown))}: the containers are {', '.join(CONTAINERS)}.")
        self._containers = tuple(containers)
        self._prefix = f"{account_url.rstrip('/')}/" if account_url else ""

    def name_of(self, reference: str) -> str:
        """The name that ``container/path`` or a blob's URL refers to. Raises BlobRefused.

        A URL has to begin with the account's own, letter by letter; what follows it is a name like any other. So no
        other host, port, user or query can be in it, and nothing has to be decoded to see that.
        """
        name = reference
        if self._prefix and reference.startswith(self._prefix):
            name = reference.removeprefix(self._prefix)
        try:
            container, _ = split_name(name)
        except InvalidRequest:
            raise self._refused() from None
        if container not in self._containers:
            raise self._refused()
        return name

    def _refused(self) -> BlobRefused:
        where = " or ".join(self._containers) or "no container"
        url = " or its URL in the configured account" if self._prefix else ""
        return BlobRefused(
            f"Only photos of this service's own storage, in {where}, are classified by reference: give container/name"
            f"{url}, without query, percent signs or dots at the start of a name, or send the photo itself."
        )
