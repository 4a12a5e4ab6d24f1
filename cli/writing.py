"""How an export gets from the service into a file: streamed, or whole or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TextIO

from cli.client import Client, Filters
from cli.options import complain
from cli.selection import Each, Folder, Spool, each
from contract.record import Record
from interchange import camtrap_dp, coco_ct, md_json, parquet
from interchange.dataset import latest
from interchange.places import Places
from interchange.tables import Per, csv_writer


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    MD_JSON = "md-json"
    CAMTRAP_DP = "camtrap-dp"
    COCO_CT = "coco-ct"


FILES_ONLY: Final = (Format.PARQUET, Format.CAMTRAP_DP)
"""What cannot go to standard output."""

DESCRIPTOR: Final = "datapackage.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What to write, and where; ``out`` None for standard output. ``package`` for camtrap-dp only."""

    kind: Format
    which: Filters | Folder
    out: Path | None
    per: Per
    places: Places
    gap: timedelta
    package: camtrap_dp.Facts | None = None


def export(order: Order, client: Client, seen: Callable[[], None]) -> str:
    """Fetch and write; in words what was written. ``seen`` is called with each record.

    Raises ClientError, InterchangeError, OSError.
    """
    if order.kind in (Format.CSV, Format.JSONL):
        return _stream(order, client, seen)
    with Spool() as spool:

        def take(record: Record) -> None:
            spool.add(record)
            seen()

        fetched = asyncio.run(each(client, order.which, take))
        if order.kind is Format.PARQUET:
            with _replacing(order.out) as path:
                return f"{parquet.write(spool, path, order.per)} results"
        if order.package is not None:
            return _package(order.out, Each(lambda: latest(spool)), order.package)
        return _object(order, spool, fetched)


def _stream(order: Order, client: Client, seen: Callable[[], None]) -> str:
    with _opened(order.out) as stream:
        write = csv_writer(stream, order.per) if order.kind is Format.CSV else _jsonl(stream)

        def take(record: Record) -> None:
            write(record)
            seen()

        return f"{asyncio.run(each(client, order.which, take))} results"


def _jsonl(stream: TextIO) -> Callable[[Record], None]:
    return lambda record: print(record.model_dump_json(by_alias=True), file=stream)


def _object(order: Order, spool: Spool, fetched: int) -> str:
    """A single JSON object: MegaDetector's or COCO's."""
    by_name = order.kind is Format.MD_JSON
    records = Each(lambda: latest(spool, by_name=by_name))
    folder = order.which if isinstance(order.which, Folder) else None
    with _replacing(order.out) as path, path.open("w", encoding="utf-8") as stream:
        if by_name:
            failures = folder.failures() if folder else {}
            count = md_json.write(records, stream, failures)
        else:
            failures = folder.failures(of_the_photo=True) if folder else {}
            count = coco_ct.write(records, stream, places=order.places, gap=order.gap, failures=failures)
    if left_out := fetched - (count - len(failures)):
        complain(f"{left_out} older results of the same photos were left out.")
    return f"{count} photos"


def _package(out: Path | None, records: Each, facts: camtrap_dp.Facts) -> str:
    assert out is not None
    if out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTOR).is_file():
        raise FileExistsError(17, "it is a folder with other files in it, give a new one")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".bestiary-") as unfinished:
        folder = Path(unfinished) / "package"
        written = camtrap_dp.write(records, folder, facts)
        if out.suffix == ".zip":
            with _replacing(out) as path:
                _zip(folder, path)
        elif out.exists():
            shutil.copytree(folder, out, dirs_exist_ok=True)
        else:
            folder.rename(out)
    if written.timeless:
        complain(f"{written.timeless} photos without a capture time were left out: the standard has no place for them.")
    if not facts.contributors:
        complain("No --contributor was given: the package names Bestiary alone; give people before you publish it.")
    return f"{written.deployments} deployments, {written.media} photos and {written.observations} observations"


def _zip(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
    else:
        with out.open("w", encoding="utf-8", newline="") as stream:
            yield stream


@contextmanager
def _replacing(out: Path | None) -> Iterator[Path]:
    """A path to write to, which takes the place of ``out`` when all went well; standard output gets it without one."""
    if out is None:
        with TemporaryDirectory(prefix="bestiary-") as folder:
            path = Path(folder) / "export"
            yield path
            with path.open(encoding="utf-8") as stream:
                shutil.copyfileobj(stream, sys.stdout)
            sys.stdout.flush()
        return
    path = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield path
        path.replace(out)
    finally:
        path.unlink(missing_ok=True)
