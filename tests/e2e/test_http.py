"""A photo in by HTTP, a stored answer out, on a real Triton."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.support.photos import BAD_PHOTOS, encode
from tests.support.stack import Stack

CAT = "domestic cat"


def post(stack: Stack, photo: bytes, **params: str) -> httpx.Response:
    return httpx.post(f"{stack.url}/v1/classifications", content=photo, params=params, timeout=30)


def rotated(path: Path) -> bytes:
    """The cat stored on its side with the EXIF tag that turns it upright."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        sideways = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        sideways.save(buffer, "JPEG", exif=exif, quality=92)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 90}),
        ("JPEG", "RGB", {"quality": 90, "progressive": True}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {"quality": 92}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGB", {"quality": 90}),
        ("BMP", "RGB", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGB", {}),
    ],
)
def test_the_cat_is_named_in_every_format(
    stack: Stack, cat_path: Path, format: str, mode: str, options: dict[str, object]
) -> None:
    answer = post(stack, encode(cat_path, format, mode, **options))
    assert answer.status_code == 201, answer.text
    record = answer.json()
    assert record["species"][0]["common_name"] == CAT
    assert record["verdict"] == "animal"
    assert record["photo"]["format"] == format
    assert (record["photo"]["width"], record["photo"]["height"]) == (451, 300)


def test_a_photo_on_its_side_is_turned_upright(stack: Stack, cat_path: Path) -> None:
    record = post(stack, rotated(cat_path)).json()
    assert record["species"][0]["common_name"] == CAT
    assert (record["photo"]["width"], record["photo"]["height"]) == (451, 300)


def test_the_answer_can_be_read_again_with_its_photo(stack: Stack, cat: bytes) -> None:
    answer = post(stack, cat, filename="IMG_0001.JPG")
    record = answer.json()
    location = answer.headers["location"]
    assert httpx.get(stack.url + location).json() == record
    assert record["photo"]["filename"] == "IMG_0001.JPG"
    again = httpx.post(f"{stack.url}/v1/classifications", json={"blob": record["photo"]["blob"]}, timeout=30).json()
    assert (again["taxon"], again["photo"]["blob"]) == (record["taxon"], record["photo"]["blob"])
    photo = httpx.get(f"{stack.url}{location}/photo")
    assert photo.content == cat
    assert photo.headers["content-type"] == "image/jpeg"


def test_a_multipart_form_is_taken(stack: Stack, cat: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", files={"photo": ("cat.jpg", cat)}, timeout=30)
    assert answer.status_code == 201
    assert answer.json()["photo"]["filename"] == "cat.jpg"
    wrong = httpx.post(f"{stack.url}/v1/classifications", files={"image": ("cat.jpg", cat)}, timeout=30)
    assert wrong.status_code == 400
    assert "`photo`" in wrong.json()["detail"]


def test_a_stored_record_is_listed_first_and_pages_follow(stack: Stack, cat: bytes) -> None:
    ids = [post(stack, cat, ack="stored").json()["id"] for _ in range(3)]
    first = httpx.get(f"{stack.url}/v1/classifications", params={"limit": 2, "species": CAT}).json()
    second = httpx.get(
        f"{stack.url}/v1/classifications", params={"limit": 2, "species": CAT, "page_token": first["next_page_token"]}
    ).json()
    assert [item["id"] for item in first["classifications"]] == [ids[2], ids[1]]
    assert second["classifications"][0]["id"] == ids[0]


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_a_bad_photo_gets_a_typed_error_and_the_next_is_served(stack: Stack, cat: bytes, name: str) -> None:
    bad = BAD_PHOTOS[name]
    answer = post(stack, bad.spoil(cat))
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] in bad.reasons
    assert answer.status_code == bad.http_status
    assert problem["detail"].count(". ") >= 1, "what is wrong, and what to do"
    assert post(stack, cat).status_code == 201


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v1/classifications/nonsense", {}, 400),
        ("/v1/classifications/01a2042d-1ee4-7000-8deb-7a4537eebcf5", {}, 404),
        ("/v1/classifications/01a2042d-1ee4-7000-8deb-7a4537eebcf5/photo", {}, 404),
        ("/v1/classifications", {"limit": "0"}, 400),
        ("/v1/classifications", {"page_token": "garbled"}, 400),
        ("/nothing/here", {}, 404),
    ],
)
def test_a_wrong_question_gets_a_problem(stack: Stack, path: str, params: dict[str, str], status: int) -> None:
    answer = httpx.get(stack.url + path, params=params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_deadline_that_cannot_be_met_is_said(stack: Stack, cat: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", content=cat, headers={"Bestiary-Timeout-Ms": "1"})
    assert answer.status_code == 504
    assert answer.json()["code"] == "deadline_exceeded"


def test_operations_pages_answer(stack: Stack, cat: bytes) -> None:
    post(stack, cat)
    assert httpx.get(f"{stack.url}/livez").is_success
    assert httpx.get(f"{stack.url}/readyz").json()["checks"] == {
        "triton": "ok",
        "release": "ok",
        "gateway": "ok",
        "storage": "ok",
    }
    metrics = httpx.get(f"{stack.url}/metrics").text
    assert 'bestiary_photos_total{edge="http",outcome="ok"}' in metrics
    page = httpx.get(f"{stack.url}/docs").text
    assert "https://" not in page.replace("https://fastapi.tiangolo.com", ""), "the page must work with no network"
    paths = httpx.get(f"{stack.url}/openapi.json").json()["paths"]
    assert "/v1/classifications" in paths


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("cat_1080p.jpg", {"domestic cat"}),
        ("cat_720p.jpg", {"domestic cat"}),
        ("pets.jpg", {"domestic dog"}),
        ("parrot.jpg", {"macaw"}),
        ("dragonfly.bmp", {"dragonfly"}),
    ],
)
def test_photos_of_the_world_are_named(stack: Stack, photos: Path, file: str, names: set[str]) -> None:
    record = post(stack, (photos / file).read_bytes()).json()
    assert record["species"][0]["common_name"] in names


def test_a_truncated_camera_trap_photo_is_answered_as_far_as_it_goes(stack: Stack, photos: Path) -> None:
    record = post(stack, (photos / "african_elephants_truncated_file.jpg").read_bytes()).json()
    assert record["status"] == "partial"
    assert record["counts"].get("elephant", 0) + record["counts"].get("African elephant", 0) >= 2


@pytest.mark.parametrize("file", ["african_elephants_cmyk.jpg", "african_elephants_bw.jpg"])
def test_colour_spaces_do_not_change_the_size(stack: Stack, photos: Path, file: str) -> None:
    record = post(stack, (photos / file).read_bytes()).json()
    assert (record["photo"]["width"], record["photo"]["height"]) == (2048, 1536)


def test_an_endless_body_without_a_length_is_cut_off(stack: Stack, cat: bytes) -> None:
    def endless():  # type: ignore[no-untyped-def]
        yield b"\xff\xd8\xff"
        for _ in range(40):
            yield bytes(1_000_000)

    answer = httpx.post(f"{stack.url}/v1/classifications", content=endless(), timeout=30)
    assert answer.json()["code"] == "too_many_bytes"
    assert post(stack, cat).status_code == 201


def test_a_large_file_in_a_form_is_refused_too(stack: Stack) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", files={"photo": ("x.jpg", bytes(40_000_000))}, timeout=30)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_many_bytes"


def test_a_caller_that_hangs_up_harms_nobody(stack: Stack, cat: bytes) -> None:
    import socket

    for _ in range(5):
        with socket.create_connection(("127.0.0.1", stack.http_port)) as connection:
            connection.sendall(
                b"POST /v1/classifications HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + cat[:500]
            )
    assert post(stack, cat).status_code == 201


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_a_damaged_png_is_typed(stack: Stack, cat_path: Path, kind: str) -> None:
    png = encode(cat_path, "PNG")
    middle = png.index(b"IDAT") + 1000
    photo = png[: len(png) // 2] if kind == "cut" else png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :]
    answer = post(stack, photo)
    assert answer.status_code == 422
    assert answer.json()["code"] in {"truncated", "corrupt"}


def test_headers_without_end_are_cut_off(stack: Stack, cat: bytes) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", stack.http_port), timeout=30) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        with pytest.raises(OSError):
            for _ in range(64):
                connection.sendall(b"x" * 262_144)
            if connection.recv(1) == b"":
                raise ConnectionResetError
    assert post(stack, cat).status_code == 201


def test_another_host_name_is_refused(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/v1/classifications", headers={"Host": "evil.example"})
    assert answer.status_code == 400


def test_a_long_or_strange_file_name_is_kept_short(stack: Stack, cat: bytes) -> None:
    answer = httpx.post(f"{stack.url}/v1/classifications", files={"photo": ("x" * 2000 + ".jpg", cat)}, timeout=30)
    assert answer.status_code == 201
    assert len(answer.json()["photo"]["filename"]) == 1024


def test_times_without_a_zone_are_utc(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/v1/classifications", params={"since": "2026-01-01T00:00:00"})
    assert answer.status_code == 200


def test_a_timeout_beyond_reason_is_refused(stack: Stack, cat: bytes) -> None:
    for value in ("0", "-5", "1" + "0" * 400, "soon"):
        answer = httpx.post(f"{stack.url}/v1/classifications", content=cat, headers={"Bestiary-Timeout-Ms": value})
        assert answer.status_code == 400
