"""The report: one file that needs nothing else and says what was found."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from tests.support.datasets import UAKARI, check, jpeg, photo, picture, write
from training.datasets.report import THUMBNAIL_HEIGHT, render, thumbnail, thumbnails_in


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        assert tag != "script"
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_everything_is_on_the_page_and_nothing_else_is_needed(animals: Path) -> None:
    write(
        animals,
        {
            "bald uakari/lion.jpg": jpeg(picture(5), quality=40),
            "lion/again.jpg": jpeg(picture(6), quality=40),
            "lion/copy.jpg": photo(3),
            "lion/cut.jpg": photo(200)[:900],
        },
    )
    checked = check(animals, UAKARI)
    ticks: list[None] = []
    text = render(checked, "my <cats>", lambda: ticks.append(None))
    page = Page(text)
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in page.links)
    assert len(ticks) == thumbnails_in(checked)
    assert "my <cats>" in page.text
    for problem in checked.problems:
        assert problem.text in page.text
    for word in ("bald_uakari", "Cacajao calvus", "Alike, but called differently", "lion/copy.jpg", "ends before its"):
        assert word in page.text
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    for label in checked.names:
        assert f"#{label}" in page.links
        assert f'id="{label}"' in text


def test_a_name_is_text_whatever_it_holds(tmp_path: Path) -> None:
    odd = "lion/<img onerror=x>" + "\udcff" + ".jpg"
    checked = check(write(tmp_path / "top", {odd: photo(1), "lion/b.jpg": jpeg(picture(1), quality=50)}))
    text = render(checked, "x")
    assert "<img onerror" not in text
    assert text.encode("utf-8")
    Page(text)


def test_a_page_of_nothing_is_a_page(tmp_path: Path) -> None:
    Page(render(check(write(tmp_path / "top", {"lion/a.jpg": b"no"})), "x"))


def test_thumbnails_are_small_and_show_boxes(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg(picture(1, 1600, 1200)))

    def image(uri: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))

    plain, boxed = image(thumbnail(file)), image(thumbnail(file, [(0.25, 0.25, 0.75, 0.75)]))
    assert plain.size == boxed.size == (round(THUMBNAIL_HEIGHT * 4 / 3), THUMBNAIL_HEIGHT)
    assert plain.tobytes() != boxed.tobytes()
    file.write_bytes(b"no photo")
    assert thumbnail(file) == thumbnail(tmp_path / "nowhere") == ""
