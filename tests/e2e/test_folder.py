"""`bestiary classify FOLDER` on a real service: killed in the middle, it goes on where it stopped."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path

import frictionless
import pytest
from PIL import ExifTags, Image

from cli.ledger import read
from tests.support.stack import ROOT, Stack

PHOTOS = 60


@pytest.fixture
def card(tmp_path: Path, cat_path: Path) -> Iterator[Path]:
    """A card: bursts of three with time, camera and position, one photo that is cut off, and one that is text."""
    folder = tmp_path / "card" / "north" / "DCIM" / "100RECNX"
    folder.mkdir(parents=True)
    with Image.open(cat_path) as image:
        cat = image.convert("RGB")
    for number in range(PHOTOS):
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = "RECONYX"
        at = datetime(2026, 3, 1, 6) + timedelta(minutes=10 * (number // 3), seconds=number % 3)
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = at.strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                ExifTags.GPS.GPSLatitudeRef: "S", ExifTags.GPS.GPSLatitude: (2.0, 18.0, 0.0),
                ExifTags.GPS.GPSLongitudeRef: "E", ExifTags.GPS.GPSLongitude: (34.0, 48.0, 0.0),
            }
        )  # fmt: skip
        buffer = io.BytesIO()
        cat.save(buffer, "JPEG", quality=90 - number % 30, exif=exif)
        (folder / f"RCNX{number:04}.JPG").write_bytes(buffer.getvalue())
    (folder / "RCNX9998.JPG").write_bytes(buffer.getvalue()[:2000])
    (folder / "RCNX9999.JPG").write_bytes(b"This is not a photo.")
    yield tmp_path / "card"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cli", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_killed_run_goes_on_where_it_stopped_and_the_card_can_be_exported(
    stack: Stack, card: Path, tmp_path: Path
) -> None:
    asked = ("classify", card, "--keep-location", "--concurrency", "2", "--url", stack.url)
    ledger = card / ".bestiary" / "ledger.jsonl"
    with subprocess.Popen(
        command(*asked, "--json"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        deadline = time.monotonic() + 120
        while not ledger.is_file() or len(read(ledger)) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
    done = {entry.path: entry.id for entry in read(ledger)}
    assert 5 <= len(done) < PHOTOS, "it was killed in the middle"

    second = run(*asked, "--thumbnails", tmp_path / "thumbs")
    assert second.returncode == 1, "two are no photos"
    left = PHOTOS - sum(found is not None for found in done.values())
    assert second.stderr.splitlines()[-1] == (f"{left} answered, {PHOTOS - left} answered in an earlier run, 2 failed.")
    entries = read(ledger)
    assert {entry.failure.code for entry in entries if entry.failure} <= {"truncated", "corrupt", "not_an_image"}
    assert all(entry.id == done[entry.path] for entry in entries if entry.path in done), "none was done twice"
    assert len(list((tmp_path / "thumbs").rglob("*.jpg"))) == PHOTOS

    third = run(*asked)
    assert third.stderr.splitlines()[-1] == f"0 answered, {PHOTOS} answered in an earlier run, 2 failed."

    events = run("results", "events", "--json", "--ledger", card, "--url", stack.url)
    assert [len(json.loads(line)["photos"]) for line in events.stdout.splitlines()] == [3] * (PHOTOS // 3)

    out = tmp_path / "package"
    exported = run(
        "results", "export", "--format", "camtrap-dp", "--timezone", "Africa/Nairobi", "--ledger", card, "--out", out,
        "--url", stack.url,
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    with chdir(out):
        assert frictionless.validate("datapackage.json").valid
    assert (out / "deployments.csv").read_text().splitlines()[1].startswith("north,,,-2.3,34.8,")
