"""`bestiary classify FOLDER`: goes on where it stopped, groups bursts, draws thumbnails."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time

import pytest
from PIL import Image

from cli.ledger import read
from tests.support.sightings import sighting


def names(stub):
    return sorted(photo.decode() for photo in stub.photos)


def ledger(folder):
    return read(folder / ".bestiary" / "ledger.jsonl")


ALL = ["a.png", "b.JPG", "sub/c.webp", "sub/d.TIFF", "sub/deep/e.gif"]


def test_a_second_run_does_only_what_is_new_or_failed_for_a_passing_reason(bestiary, stub, folder):
    busy = stub.problem(429, "overloaded", "All places are taken.", retryable=True, Retry_After="0")
    stub.refusals[b"a.png"] = [stub.problem(422, "truncated", "The photo ends before its picture does.")]
    stub.refusals[b"b.JPG"] = [busy, busy]
    first = bestiary("classify", folder, "--retries", "1", "--url", stub.url)
    assert first.returncode == 1
    assert first.stderr.endswith("3 answered, 2 failed.\n")
    assert {entry.path: (entry.id is not None, entry.settled) for entry in ledger(folder)} == {
        "a.png": (False, True), "b.JPG": (False, False), "sub/c.webp": (True, True), "sub/d.TIFF": (True, True),
        "sub/deep/e.gif": (True, True),
    }  # fmt: skip
    stub.photos.clear()
    (folder / "new.jpg").write_bytes(b"new.jpg")
    second = bestiary("classify", folder, "--url", stub.url)
    assert names(stub) == ["b.JPG", "new.jpg"]
    assert second.returncode == 1, "one still has no answer"
    assert f"{folder / 'a.png'}: The photo ends before its picture does.\n" in second.stderr
    assert second.stderr.endswith("2 answered, 3 answered in an earlier run, 1 failed.\n")


def test_a_finished_folder_is_done_at_once(bestiary, stub, folder):
    assert bestiary("classify", folder, "--url", stub.url).returncode == 0
    stub.photos.clear()
    done = bestiary("classify", "--json", folder, "--url", stub.url)
    assert (done.returncode, done.stdout, stub.photos) == (0, "", [])
    assert done.stderr == "0 answered, 5 answered in an earlier run, 0 failed.\n"


def test_a_changed_photo_is_done_again_and_a_touched_one_is_not(bestiary, stub, folder):
    bestiary("classify", folder, "--url", stub.url)
    stub.photos.clear()
    (folder / "a.png").write_bytes(b"another")
    (folder / "b.JPG").write_bytes(b"c.JPG")
    os.utime(folder / "sub" / "c.webp", (1, 1))
    assert bestiary("classify", folder, "--url", stub.url).returncode == 0
    assert names(stub) == ["another", "c.JPG"]


@pytest.mark.parametrize("more", [["--again"], ["--tasks", "count"], ["--sure-from", "0.5"], ["--keep-location"]])
def test_another_question_is_asked_of_all_photos(bestiary, stub, folder, more):
    bestiary("classify", folder, "--url", stub.url)
    stub.photos.clear()
    assert bestiary("classify", folder, *more, "--url", stub.url).returncode == 0
    assert names(stub) == ALL


def test_what_is_asked_reaches_the_service(bestiary, stub, folder):
    bestiary(
        "classify", folder / "a.png", "--tasks", "count", "--detect-from", "0.3", "--overlap", "0.4", "--sure-from",
        "0.5", "--empty-from", "0.6", "--keep-location", "--url", stub.url,
    )  # fmt: skip
    assert stub.queries == [
        {"filename": "a.png", "tasks": "count", "detect_from": "0.3", "overlap": "0.4", "sure_from": "0.5",
         "empty_from": "0.6", "keep_location": "true"}
    ]  # fmt: skip
    bestiary("classify", folder / "a.png", "--url", stub.url)
    assert stub.queries[1] == {"filename": "a.png"}, "the rest is the service's"


def test_a_threshold_is_a_share(bestiary, stub, folder):
    assert bestiary("classify", folder, "--sure-from", "90", "--url", stub.url).returncode == 2
    assert stub.photos == []


def test_after_ctrl_c_the_next_run_does_the_rest(start, bestiary, stub, folder):
    held = threading.Event()
    stub.before_answer = lambda photo: None if photo in (b"a.png", b"b.JPG") else held.wait(30) and None
    process = start("classify", folder, "--json", "--concurrency", "2", "--url", stub.url)
    for _ in range(2):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    held.set()
    assert sorted(entry.path for entry in ledger(folder)) == ["a.png", "b.JPG"]
    stub.photos.clear()
    assert bestiary("classify", folder, "--url", stub.url).returncode == 0
    assert names(stub) == ALL[2:]


def test_a_second_run_at_the_same_time_is_refused(start, bestiary, stub, folder):
    held = threading.Event()
    stub.before_answer = lambda photo: held.wait(30) and None
    process = start("classify", folder, "--url", stub.url)
    while not stub.photos:
        time.sleep(0.05)
    done = bestiary("classify", folder, "--url", stub.url)
    held.set()
    assert done.returncode == 2
    assert "Another bestiary classify works on" in " ".join(done.stderr.split())
    assert process.wait(30) == 0


def test_a_ledger_may_be_kept_elsewhere(bestiary, stub, folder, tmp_path):
    file = tmp_path / "card.jsonl"
    for _ in range(2):
        assert bestiary("classify", folder, "--ledger", file, "--url", stub.url).returncode == 0
    assert names(stub) == ALL
    assert not (folder / ".bestiary").exists()
    assert len(read(file)) == 5
    assert bestiary("classify", folder / "a.png", "--ledger", file, "--url", stub.url).returncode == 2


def test_a_folder_that_cannot_be_written_is_classified_all_the_same(bestiary, stub, folder):
    (folder / ".bestiary").write_text("in the way")
    done = bestiary("classify", folder, "--url", stub.url)
    assert done.returncode == 0
    assert "cannot be resumed" in done.stderr
    assert names(stub) == ALL


def test_photos_named_one_by_one_have_no_ledger(bestiary, stub, folder):
    for _ in range(2):
        assert bestiary("classify", folder / "a.png", "--url", stub.url).returncode == 0
    assert names(stub) == ["a.png", "a.png"]
    assert not (folder / ".bestiary").exists()


def test_bursts_are_told_as_events(bestiary, stub, folder):
    done = bestiary("classify", folder, "--url", stub.url)
    photos, events = done.stdout.split("\n\n")
    assert len(photos.splitlines()) == 6
    rows = [line.split("  ") for line in events.splitlines()]
    assert [row[0] for row in rows] == ["event", ".", "sub", "sub/deep"]
    assert "2 lion" in events


def test_many_photos_are_summed_up(bestiary, stub, tmp_path):
    for number in range(105):
        (tmp_path / f"{number:03}.jpg").write_bytes(b"%d" % number)
        if number < 25:
            refusal = stub.problem(422, "truncated" if number < 24 else "corrupt", "It is cut off.")
            stub.refusals[b"%d" % number] = [refusal]
    done = bestiary("classify", tmp_path, "--url", stub.url)
    assert done.returncode == 1
    table = done.stdout.split("\n\n")[0].splitlines()
    assert [line.split() for line in table] == [["animal", "photos", "animals"], ["lion", "80"]]
    assert done.stderr.splitlines() == [
        f"24 truncated, such as {tmp_path / '000.jpg'}: It is cut off.",
        f"1 corrupt, such as {tmp_path / '024.jpg'}: It is cut off.",
        "80 answered, 25 failed.",
    ]


@pytest.fixture
def card(tmp_path):
    """Two grey photos."""
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(buffer, "JPEG")
    for name in ("1.jpg", "north/2.jpg"):
        (tmp_path / "card" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "card" / name).write_bytes(buffer.getvalue() + name.encode())
    return tmp_path / "card"


def test_thumbnails_are_drawn_beside_the_answers(bestiary, stub, card, tmp_path):
    stub.answers = lambda photo: sighting(animals=["lion"])
    done = bestiary("classify", card, "--thumbnails", tmp_path / "thumbs", "--url", stub.url)
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.relative_to(tmp_path / "thumbs").as_posix() for path in (tmp_path / "thumbs").rglob("*.jpg"))
    assert drawn == ["1.jpg.jpg", "north/2.jpg.jpg"]
    with Image.open(tmp_path / "thumbs" / "1.jpg.jpg") as image:
        assert image.width == 640


def test_thumbnails_of_an_earlier_run_are_drawn_without_asking_again(bestiary, stub, card, tmp_path):
    bestiary("classify", card, "--url", stub.url)
    stub.photos.clear()
    done = bestiary("classify", card, "--thumbnails", tmp_path / "thumbs", "--url", stub.url)
    assert done.returncode == 0, done.stderr
    assert stub.photos == []
    assert len(list((tmp_path / "thumbs").rglob("*.jpg"))) == 2


def test_a_thumbnail_that_cannot_be_drawn_costs_only_itself(bestiary, stub, folder, tmp_path):
    done = bestiary("classify", folder, "--thumbnails", tmp_path / "thumbs", "--url", stub.url)
    assert done.returncode == 0, "the bytes are no photos, and the stub answers all the same"
    assert f"{folder / 'a.png'}: no thumbnail: " in done.stderr
    assert len(ledger(folder)) == 5
    assert bestiary("classify", folder, "--thumbnails", folder / "thumbs", "--url", stub.url).returncode == 2


def test_a_result_can_be_drawn_on_demand(bestiary, stub, tmp_path):
    record = sighting("a.jpg", ["lion"])
    stub.records = [record]
    done = bestiary("results", "show", record.id, "--thumbnail", tmp_path / "x.jpg", "--url", stub.url)
    assert done.returncode == 1, "the stub's photo is text"
    assert "cannot be drawn on" in done.stderr


def test_a_failed_photo_is_one_line_of_json(bestiary, stub, folder):
    stub.refusals[b"a.png"] = [stub.problem(422, "corrupt", "It is damaged.")]
    first, second = (bestiary("classify", "--json", folder, "--url", stub.url) for _ in range(2))
    errors = [json.loads(line) for line in first.stdout.splitlines() if "error" in json.loads(line)]
    assert [error["error"]["code"] for error in errors] == ["corrupt"]
    assert (second.returncode, second.stdout) == (1, ""), "it was told"
