"""CSV and Parquet: one set of columns, described in docs/formats.md."""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.record import Camera, Location, Record, Verdict
from interchange import parquet
from interchange.errors import InterchangeError
from interchange.tables import Per, columns, csv_writer
from tests.support.sightings import box, sighting, species, whole_photo
from tests.support.stack import ROOT

FIRST = (
    "id", "received_at", "captured_at", "filename", "verdict", "common_name", "scientific_name", "rank", "score",
    "count", "width", "height", "sha256", "release",
)  # fmt: skip


def table(*records: Record, per: Per = Per.PHOTO) -> list[dict[str, str]]:
    stream = io.StringIO()
    write = csv_writer(stream, per)
    for record in records:
        write(record)
    return [
        {name: cell for name, cell in row.items() if cell}
        for row in csv.DictReader(io.StringIO(stream.getvalue(), newline=""))
    ]


LIONS = sighting(
    "a/1.jpg",
    ["lion", box("Felidae", 0.8)],
    camera=Camera(make="RECONYX"),
    location=Location(latitude=-2.3, longitude=34.8),
)


def test_a_row_a_photo() -> None:
    (row,) = table(LIONS)
    assert {name: row[name] for name in ("common_name", "scientific_name", "rank", "score", "count", "animals")} == {
        "common_name": "lion",
        "scientific_name": "Panthera leo",
        "rank": "species",
        "score": "0.9",
        "count": "2",
        "animals": "1 lion, 1 Felidae (family)",
    }
    assert (row["camera_make"], row["latitude"], row["longitude"]) == ("RECONYX", "-2.3", "34.8")
    assert (row["captured_at"], row["received_at"]) == ("2026-03-01T06:30:00", "2026-11-22T08:00:00+00:00")
    assert (row["genus"], row["tasks"], row["status"]) == ("Panthera", "full", "complete")


def test_a_row_a_box() -> None:
    lion, cat = table(LIONS, per=Per.BOX)
    assert (lion["box"], lion["x1"], lion["y2"], lion["box_score"]) == ("0", "0.1", "0.8", "0.9")
    assert (cat["common_name"], cat["rank"], cat["family"]) == ("Felidae (family)", "family", "Felidae")
    assert "genus" not in cat
    assert (cat["best_species"], cat["alternatives"], cat["alternatives_coverage"]) == ("lion", "lion; tiger", "0.95")
    assert cat["id"] == lion["id"] == str(LIONS.id)


def test_photos_without_boxes_have_a_row_and_no_rows_of_boxes() -> None:
    assert len(table(sighting(), whole_photo())) == 2
    assert table(sighting(), whole_photo(), per=Per.BOX) == []


def test_an_empty_photo_has_no_name() -> None:
    (row,) = table(sighting())
    assert (row["verdict"], row["score"], row["count"]) == ("empty", "0.98", "0")
    assert not {"common_name", "animals", "best_species"} & row.keys()


def test_an_unsure_photo_says_so_and_gives_its_best_guess() -> None:
    (row,) = table(whole_photo(verdict=Verdict.UNKNOWN, species=(species("lion", 0.2),)))
    assert (row["common_name"], row["rank"], row["best_species"]) == ("unknown", "unknown", "lion")


def test_the_first_columns_stay_where_they_are() -> None:
    assert tuple(column.name for column in columns(Per.PHOTO))[:14] == FIRST


@pytest.mark.parametrize("per", Per)
def test_every_column_is_described(per: Per) -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    names = [column.name for column in columns(per)]
    assert len(set(names)) == len(names)
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("per", Per)
def test_parquet_holds_the_same_with_types(tmp_path: Path, per: Per) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    records = [LIONS, sighting(), whole_photo(), sighting(at=None)]
    assert parquet.write(records, tmp_path / "x.parquet", per) == 4
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [
        {
            name: cell.isoformat() if isinstance(cell, datetime) else str(cell)
            for name, cell in row.items()
            if cell is not None
        }
        for row in rows
    ] == table(*records, per=per)
    assert rows[0]["received_at"] == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert isinstance(rows[0]["width"], int)


def test_parquet_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 2)
    assert parquet.write(iter([LIONS] * 5), tmp_path / "x.parquet") == 5
    assert pq.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups == 3


def test_no_results_are_a_table_without_rows(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    assert parquet.write([], tmp_path / "x.parquet") == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0


def test_a_missing_pyarrow_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InterchangeError, match=r"bestiary\[parquet\]"):
        parquet.write([], tmp_path / "x.parquet")
