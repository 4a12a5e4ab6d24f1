"""Records of camera-trap photos for tests: what is on them, where and when, in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.ids import new_id
from contract.options import Task
from contract.record import (
    Alternatives,
    Box,
    Camera,
    Location,
    Photo,
    Record,
    SpeciesScore,
    Taxon,
    Timings,
    Verdict,
)

RANKS = ("class_", "order", "family", "genus", "species")
KNOWN = {
    "lion": ("Mammalia", "Carnivora", "Felidae", "Panthera", "Panthera leo"),
    "tiger": ("Mammalia", "Carnivora", "Felidae", "Panthera", "Panthera tigris"),
    "spotted hyena": ("Mammalia", "Carnivora", "Hyaenidae", "Crocuta", "Crocuta crocuta"),
    "plains zebra": ("Mammalia", "Perissodactyla", "Equidae", "Equus", "Equus quagga"),
    "wildebeest": ("Mammalia", "Artiodactyla", "Bovidae", "Connochaetes", "Connochaetes taurinus"),
    "Felidae": ("Mammalia", "Carnivora", "Felidae", "", ""),
    "Mammalia": ("Mammalia", "", "", "", ""),
}
RECEIVED = datetime(2026, 11, 22, 8, tzinfo=UTC)


def species(name: str, score: float = 0.9) -> SpeciesScore:
    """A candidate."""
    ranks = dict(zip(RANKS, KNOWN.get(name, ("",) * 5), strict=True))
    return SpeciesScore(key=name.replace(" ", "_"), common_name=name, rank="species", score=score, **ranks)


def taxon(name: str, score: float = 0.9) -> Taxon:
    """An answer: a species, an ancestor by its scientific name, ``animal`` or ``unknown``."""
    if name in ("animal", "unknown"):
        return Taxon(rank=name, name="Animalia" if name == "animal" else "", common_name=name, score=score)
    names = KNOWN[name]
    depth = max(place for place, text in enumerate(names) if text)
    rank = ("class", "order", "family", "genus", "species")[depth]
    common = name if rank == "species" else f"{name} ({rank})"
    return Taxon(rank=rank, name=names[depth], common_name=common, score=score, **dict(zip(RANKS, names, strict=True)))


def box(name: str, score: float = 0.9, at: Sequence[float] = (0.1, 0.2, 0.5, 0.8)) -> Box:
    """An animal; ``""`` where names were not asked for."""
    x1, y1, x2, y2 = at
    if not name:
        return Box(x1=x1, y1=y1, x2=x2, y2=y2, score=score, species=())
    candidates = (species(name, score),) if name in KNOWN and KNOWN[name][-1] else (species("lion", score / 2),)
    alternatives = Alternatives(coverage=0.95, species=(*candidates, species("tiger", 0.04)))
    return Box(
        x1=x1, y1=y1, x2=x2, y2=y2, score=score, species=candidates, taxon=taxon(name, score), alternatives=alternatives
    )


def sighting(
    filename: str | None = "IMG_0001.JPG",
    animals: Sequence[str | Box] = (),
    *,
    at: datetime | None = datetime(2026, 3, 1, 6, 30),
    second: float = 0,
    camera: Camera | None = None,
    location: Location | None = None,
    **changed: Any,
) -> Record:
    """A photo that was searched for animals: one box each, none for an empty photo. ``second`` is added to ``at``."""
    boxes = tuple(one if isinstance(one, Box) else box(one) for one in animals)
    names = [one.taxon.common_name for one in boxes if one.taxon]
    photo = Photo(
        sha256=hashlib.sha256(f"{filename}{at}{second}".encode()).hexdigest(),
        blob="uploads/ab/ab12.jpg",
        filename=filename,
        format="JPEG",
        width=2000,
        height=1000,
        size_bytes=1234,
        captured_at=at + timedelta(seconds=second) if at else None,
        camera=camera,
        location=location,
    )
    best = boxes[0] if boxes else None
    record = Record(
        id=new_id(int(RECEIVED.timestamp() * 1000)),
        received_at=RECEIVED,
        tasks=Task.FULL,
        verdict=Verdict.ANIMAL if boxes else Verdict.EMPTY,
        taxon=best.taxon if best else None,
        species=best.species if best else (species("no_animal", 0.98),),
        count=len(boxes),
        counts={name: names.count(name) for name in names},
        boxes=boxes,
        photo=photo,
        release="2@0123456789ab",
        timings_ms=Timings(decode=1, detect=2, classify=2, model=5, triton=6, total=7),
    )
    return record.model_copy(update=changed)


def whole_photo(filename: str = "IMG_0001.JPG", name: str = "lion", score: float = 0.9, **changed: Any) -> Record:
    """A photo that was only named: no boxes, no count. As release 1 answers, and as ``tasks=species`` does."""
    record = sighting(filename)
    update = {
        "tasks": Task.SPECIES,
        "verdict": Verdict.ANIMAL,
        "species": (species(name, score), species("tiger", 0.05)),
        "count": None,
    }
    return record.model_copy(update=update | changed)
