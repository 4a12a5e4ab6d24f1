"""Records for tests of storage."""

from __future__ import annotations

from datetime import UTC, datetime

from contract.ids import new_id
from contract.record import Photo, Record, SpeciesScore, Timings, Verdict


def made_record(at: datetime | None = None, species: str = "red fox", verdict: str = "animal") -> Record:
    """A record as the gateway makes it; ids in the order of the calls."""
    at = at or datetime(2026, 11, 22, 8, tzinfo=UTC)
    score = SpeciesScore(
        key="fox", common_name=species, rank="species", order="Carnivora", family="Canidae", genus="Vulpes",
        species="Vulpes vulpes", score=0.9, **{"class": "Mammalia"},
    )  # fmt: skip
    photo = Photo(sha256="ab" * 32, blob="uploads/ab/x.jpg", format="jpeg", width=8, height=8, size_bytes=9)
    return Record(
        id=new_id(int(at.timestamp() * 1000)), received_at=at, verdict=Verdict(verdict),
        species=(score,) if species else (), count=1, photo=photo, release="r@1",
        timings_ms=Timings(decode=1, classify=2, model=3, triton=4, total=5),
    )  # fmt: skip
