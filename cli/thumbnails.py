"""``--thumbnails``: an annotated picture of each photo, in a folder of the same shape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cli.photos import STDIN, Source
from contract.record import Record

SUFFIX: Final = ".jpg"


class Thumbnails:
    """A folder of thumbnails. Photos of several folders are told apart by their folders' names."""

    def __init__(self, folder: Path, sources: Sequence[Source]) -> None:
        """Raises ValueError if two photos would get one thumbnail, or if thumbnails would be taken for photos."""
        self._folder = folder
        above = {Path(source.folder).resolve() for source in sources if source.folder is not None}
        if above & {folder.resolve(), *folder.resolve().parents}:
            raise ValueError(
                "Thumbnails inside the folder of photos would be classified next time: put them elsewhere."
            )
        self._several = len({source.folder for source in sources}) > 1
        names = {self.path(source) for source in sources}
        if len(names) < len(sources):
            raise ValueError("Two photos have the same name: give --thumbnails for one folder at a time.")

    def path(self, source: Source) -> Path:
        """Where a photo's thumbnail goes: its path below its folder and ``.jpg``."""
        top = Path(source.folder).resolve().name if self._several and source.folder is not None else ""
        name = "stdin" if source.path == STDIN else source.below or Path(source.path).name
        return self._folder / top / f"{name}{SUFFIX}"

    def there(self, source: Source) -> bool:
        """Whether it has been drawn."""
        return self.path(source).is_file()

    def draw(self, source: Source, photo: bytes, record: Record) -> None:
        """Draw and write it, whole or not at all. Raises OSError, ValueError."""
        from cli.annotate import thumbnail  # brings Pillow, which nothing else here needs

        path = self.path(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_bytes(thumbnail(photo, record))
        unfinished.replace(path)
