"""A source in, what would become a version of a data set out, with everything that is worth a person's look."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from contract.taxonomy import NO_ANIMAL, Taxonomy
from training.dataset import Corners
from training.datasets.coco import read_coco
from training.datasets.findings import findings
from training.datasets.inspect import Looked, look_at_all
from training.datasets.labels import Labels, UnknownLabel, folded
from training.datasets.model import DatasetPhoto, NewSpecies, Part
from training.datasets.near import blocks, near_pairs
from training.datasets.offers import LeftOut, Offer, Offered, Reason, quoted, read_folders
from training.datasets.outcome import Checked, Severity
from training.datasets.parts import Member, assign, groups, places
from training.datasets.table import read_table
from training.errors import DataError

SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Settings:
    """How a source is read."""

    photos: Path | None = None
    """The folder that a JSON's or CSV's file names start from; its own folder if None."""
    skip: frozenset[str] = frozenset()
    """Labels whose photos are left out, however they are spelled: ``human``, ``vehicle``."""
    source: str = ""
    licence: str = ""
    """Of photos of which the source itself does not say."""
    seed: int = SEED


class Progress(Protocol):
    """Told how far a check is."""

    def start(self, what: str, total: int) -> None:
        """A stage of ``total`` steps begins."""

    def tick(self) -> None:
        """One more step is done."""


class Silence:
    """Tells nobody."""

    def start(self, what: str, total: int) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""


def read_source(source: Path, photos: Path | None = None) -> Offer:
    """What ``source`` offers: a folder of folders, a ``.json`` or a ``.csv``. Raises DataError."""
    try:
        if source.is_dir():
            return read_folders(source)
        if not source.is_file():
            raise DataError(f"There is no {source}. Give a folder, a .json (COCO Camera Traps) or a .csv.")
        if photos is not None and not photos.is_dir():
            raise DataError(f"--photos {photos} is no folder. Give the one that the paths in {source.name} start from.")
        readers: Mapping[str, Callable[[Path, Path], Offer]] = {
            ".json": read_coco,
            ".csv": read_table,
            ".tsv": read_table,
        }
        reader = readers.get(source.suffix.lower())
        if reader is None:
            raise DataError(f"{source} is neither a folder nor a .json (COCO Camera Traps) nor a .csv.")
        return reader(source, photos or source.parent)
    except OSError as error:
        raise DataError(f"{error.filename or source} cannot be read: {error.strerror}.") from None


def check_source(
    source: Path,
    taxonomy: Taxonomy,
    rows: Sequence[NewSpecies] = (),
    settings: Settings = Settings(),
    earlier: Mapping[str, Part] | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Read, look at, compare and split all photos of ``source``. Writes nothing.

    ``rows``: species that the taxonomy lacks. ``earlier``: SHA-256 -> part in earlier versions, which stay.
    Raises DataError if the source cannot be read at all; what is wrong with labels and photos is in the outcome.
    """
    progress = progress or Silence()
    labels = Labels(taxonomy, rows)
    offer = read_source(source, settings.photos)
    checked = Checked(offer.kind, left_out=offer.left_out)
    known = _known_labels(offer.photos, labels, settings.skip, checked)
    progress.start("looking at photos", len(known))
    looked, undecodable = look_at_all([one for one, _ in known], progress.tick)
    checked.left_out.extend(undecodable)
    label_of = {one.name: label for one, label in known}
    kept = _without_copies(looked, label_of, checked)
    beside = places(kept)
    progress.start("comparing photos", blocks(len(kept)))
    said = [label_of[photo.offered.name] for photo in kept]
    checked.pairs = near_pairs(kept, said, beside, progress.tick)
    group_of = groups(kept, beside, checked.pairs)
    members = [Member(photo.sha256, label, group) for photo, label, group in zip(kept, said, group_of, strict=True)]
    parts = assign(members, settings.seed, earlier)
    squeezed: list[str] = []
    for photo, member, part in zip(kept, members, parts, strict=True):
        checked.photos.append(_photo(photo, member, part, settings, squeezed))
        checked.files.append(photo.offered.file)
    used = {photo.label for photo in checked.photos}
    checked.species = [row for key, row in sorted(labels.new.items()) if key in used]
    checked.names = {leaf.key: leaf.common_name for leaf in taxonomy if leaf.key in used}
    checked.names |= {row.key: row.common_name for row in checked.species}
    _tell_of_sources(offer, labels, squeezed, checked)
    checked.problems.extend(findings(checked))
    checked.problems.sort(key=lambda problem: list(Severity).index(problem.severity))
    return checked


def _known_labels(
    photos: Sequence[Offered], labels: Labels, skip: frozenset[str], checked: Checked
) -> list[tuple[Offered, str]]:
    """Photos whose label has a leaf, with it. Unknown labels are one problem each."""
    skipped = {folded(label) for label in skip}
    means = {label: labels.resolve(label) for label in {photo.label for photo in photos}}
    known: list[tuple[Offered, str]] = []
    unknown: Counter[str] = Counter()
    for photo in photos:
        leaf = means[photo.label]
        if folded(photo.label) in skipped:
            checked.left_out.append(LeftOut(photo.name, photo.label, Reason.SKIPPED_LABEL, "Its label is skipped."))
        elif isinstance(leaf, UnknownLabel):
            unknown[photo.label] += 1
            checked.left_out.append(LeftOut(photo.name, photo.label, Reason.UNKNOWN_LABEL, str(leaf), photo.file))
        else:
            known.append((photo, leaf))
    for label, count in sorted(unknown.items()):
        photos_of = "1 photo" if count == 1 else f"{count} photos"
        checked.add(Severity.REFUSED, "unknown_label", f"{means[label]} ({photos_of})")
    if unknown:
        text = "Correct these labels, describe their species in the --species file, or leave them out with --skip."
        checked.add(Severity.REFUSED, "unknown_labels", text)
    return known


def _without_copies(looked: Sequence[Looked], label_of: Mapping[str, str], checked: Checked) -> list[Looked]:
    """One of each, sorted by SHA-256. Copies that contradict each other are all left out: nobody knows who is right."""
    copies: dict[str, list[Looked]] = defaultdict(list)
    for photo in looked:
        copies[photo.sha256].append(photo)
    kept: list[Looked] = []
    for _, same in sorted(copies.items()):
        said = sorted({label_of[photo.offered.name] for photo in same})
        if len(said) > 1:
            for photo in same:
                others = quoted([other.offered.name for other in same if other is not photo])
                detail = f"The same file is called {' and '.join(said)}; see {others}. Keep the right one."
                checked.left_out.append(_left_out(photo, Reason.LABEL_CONFLICT, detail))
            continue
        first, *others_of = sorted(same, key=lambda photo: (not photo.offered.location, photo.offered.name))
        kept.append(first)
        checked.left_out.extend(
            _left_out(photo, Reason.DUPLICATE, f"It is the same file as {first.offered.name}.") for photo in others_of
        )
    return kept


def _left_out(photo: Looked, reason: Reason, detail: str) -> LeftOut:
    return LeftOut(photo.offered.name, photo.offered.label, reason, detail, photo.offered.file)


def _photo(photo: Looked, member: Member, part: Part, settings: Settings, squeezed: list[str]) -> DatasetPhoto:
    offered = photo.offered
    boxes = _boxes(photo) if member.label != NO_ANIMAL else ()
    if boxes is None:
        squeezed.append(offered.name)
    return DatasetPhoto(
        path=f"photos/{photo.sha256[:2]}/{photo.sha256}{photo.suffix}",
        sha256=photo.sha256,
        label=member.label,
        part=part,
        group=member.group,
        width=photo.width,
        height=photo.height,
        boxes=boxes or (),
        location=offered.location or photo.position,
        sequence=offered.sequence,
        captured_at=photo.captured_at,
        source=offered.source or settings.source,
        licence=offered.licence or settings.licence,
        original=offered.name,
    )


def _boxes(photo: Looked) -> tuple[Corners, ...] | None:
    """Boxes as shares, cut at the photo's edges; None if they were drawn on a photo of another shape."""
    width, height = photo.offered.boxes_of
    if not photo.offered.boxes:
        return ()
    if (width, height) == (0, 0):
        width, height = photo.width, photo.height
    elif (width, height) != (1, 1) and abs(width * photo.height / (height * photo.width) - 1) > 0.02:
        return None
    shares = []
    for x1, y1, x2, y2 in photo.offered.boxes:
        box = (max(x1 / width, 0.0), max(y1 / height, 0.0), min(x2 / width, 1.0), min(y2 / height, 1.0))
        if box[0] < box[2] and box[1] < box[3]:
            shares.append(box)
    return tuple(shares)


def _tell_of_sources(offer: Offer, labels: Labels, squeezed: Sequence[str], checked: Checked) -> None:
    for key, leaf in sorted(labels.already.items()):
        if leaf in checked.names:
            checked.add(Severity.NOTE, "known_species", f"'{key}' of the --species file is the known leaf '{leaf}'.")
    unused = sorted(set(labels.new) - {row.key for row in checked.species})
    if unused:
        checked.add(Severity.NOTE, "unused_species", f"No photo shows these of the --species file: {quoted(unused)}.")
    if offer.other_files:
        kinds = quoted([f"{count} {suffix}" for suffix, count in offer.other_files.most_common()])
        checked.add(Severity.NOTE, "other_files", f"Not looked at, as they are no photos by their names: {kinds}.")
    if offer.odd_times:
        text = f"{len(offer.odd_times)} capture times cannot be read (such as that of {offer.odd_times[0]})."
        checked.add(Severity.WARNING, "odd_time", f"{text} Write them as 2026-11-23T06:30:00.")
    if squeezed:
        text = (
            f"{len(squeezed)} photos have another shape than the one their boxes were drawn on, such as {squeezed[0]}"
        )
        checked.add(Severity.WARNING, "odd_boxes", f"{text}; these boxes are dropped. Was the photo turned since?")
