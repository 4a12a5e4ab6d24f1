"""What is worth saying about a checked data set as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

from contract.preprocessing import IMAGE_SIZE
from contract.taxonomy import NO_ANIMAL
from training.datasets.offers import Reason, quoted
from training.datasets.outcome import Checked, Problem, Severity
from training.datasets.parts import LOCATION

FEW: Final = 20
"""A class with fewer photos is learned badly and measured worse: of 20, four are held back."""

UNBALANCED: Final = 10
"""The largest class of animals has more than so many times the photos of the smallest."""

SMALL_SIDE: Final = IMAGE_SIZE // 2
"""A shorter side below this, pixels, is enlarged to more than twice its size for the network."""

ODD_ASPECT: Final = 3
"""Longer side by shorter side; a photo this long is stretched into a square until the animal is out of shape."""

_TOLD: Final[dict[Reason, str]] = {
    Reason.MISSING: "named by the source and not there",
    Reason.OUTSIDE: "outside the folder of photos",
    Reason.UNREADABLE: "whose file cannot be read",
    Reason.NO_LABEL: "without a label",
    Reason.SEVERAL_LABELS: "showing several species",
    Reason.SKIPPED_LABEL: "whose label is skipped",
    Reason.UNDECODABLE: "that cannot be decoded",
    Reason.TRUNCATED: "cut off",
    Reason.TINY: "too small",
    Reason.TOO_LARGE: "too large",
    Reason.DUPLICATE: "copied from others",
    Reason.LABEL_CONFLICT: "with contradicting labels for one file",
}


def findings(checked: Checked) -> list[Problem]:
    """What the photos and the left-out ones are like."""
    parts = (_left_out, _classes, _near, _together, _looks, _said)
    found = [Problem(*problem) for problem in chain.from_iterable(part(checked) for part in parts)]
    if not checked.photos:
        text = "No photo is left. The reasons stand beside the photos that were left out."
        found = [Problem(Severity.REFUSED, "no_photos", text), *found]
    return found


Findings = Iterator[tuple[Severity, str, str]]


def _left_out(checked: Checked) -> Findings:
    harmless = (Reason.SKIPPED_LABEL, Reason.DUPLICATE)
    told = (one.reason for one in checked.left_out if one.reason is not Reason.UNKNOWN_LABEL)  # told label by label
    for reason, count in Counter(told).most_common():
        example = next(one.name for one in checked.left_out if one.reason is reason)
        text = f"Left out: {_photos(count)} {_TOLD[reason]}, such as {example}."
        yield Severity.NOTE if reason in harmless else Severity.WARNING, reason.value, text


def _classes(checked: Checked) -> Findings:
    balance = checked.balance()
    totals = {label: sum(parts.values()) for label, parts in balance.items()}
    few = [f"{label} ({count})" for label, count in totals.items() if count < FEW]
    if few:
        yield Severity.WARNING, "few_photos", f"Fewer than {FEW} photos: {quoted(few, 12)}. Add more of them."
    for part, why in (("train", "learned"), ("validation", "tuned on"), ("test", "measured")):
        without = [label for label, parts in balance.items() if not parts[part]]  # type: ignore[index]  # of PARTS
        if without:
            text = f"No photo in {part}, so not {why}: {quoted(without, 12)}. They need more groups of photos."
            yield Severity.WARNING, f"no_{part}", text
    animals = {label: count for label, count in totals.items() if label != NO_ANIMAL}
    if animals and max(animals.values()) > UNBALANCED * min(animals.values()):
        most, least = max(animals, key=lambda k: animals[k]), min(animals, key=lambda k: animals[k])
        text = f"{most} has {animals[most]} photos and {least} {animals[least]}: rare classes will be named too seldom."
        yield Severity.WARNING, "unbalanced", text
    if totals.get(NO_ANIMAL):
        text = f"{_photos(totals[NO_ANIMAL])} of {len(checked.photos)} are blanks."
        yield Severity.NOTE, "blanks", text
    elif any(photo.location for photo in checked.photos):
        text = "No blank among photos with locations. Blanks of the same cameras teach what is no animal."
        yield Severity.NOTE, "no_blanks", text


def _near(checked: Checked) -> Findings:
    conflicts = checked.conflicts()
    if conflicts:
        first, second = checked.photos[conflicts[0].first], checked.photos[conflicts[0].second]
        text = (
            f"{_photos(len(conflicts))} with nearly the picture of another that has another label, such as "
            f"{first.original} ({first.label}) and {second.original} ({second.label}). Correct the wrong one."
        )
        yield Severity.WARNING, "near_conflict", text
    alike = len(checked.pairs) - len(conflicts)
    if alike:
        text = f"{_photos(alike)} with nearly the picture of another of the same label. They stay in one part."
        yield Severity.NOTE, "near_duplicate", text


def _together(checked: Checked) -> Findings:
    sizes = Counter(photo.group for photo in checked.photos)
    if not sizes:
        return
    group, size = sizes.most_common(1)[0]
    if size > len(checked.photos) / 2 and len(checked.photos) >= FEW:
        text = f"{size} of {len(checked.photos)} photos are one group ({group}) and so in one part."
        yield Severity.WARNING, "one_group", text
    sites = sum(name.startswith(f"{LOCATION}:") for name in sizes)
    if 0 < sites < FEW // 2:
        text = f"Photos are of {sites} locations only: what is measured on so few says little about others."
        yield Severity.WARNING, "few_locations", text
    alone = [photo for photo in checked.photos if not (photo.location or photo.sequence or photo.captured_at)]
    if alone:
        text = (
            f"{_photos(len(alone))} without location, sequence and capture time: bursts among them can only be told by "
            "looking alike."
        )
        yield Severity.NOTE, "no_time", text


def _looks(checked: Checked) -> Findings:
    small = [photo.original for photo in checked.photos if min(photo.width, photo.height) < SMALL_SIDE]
    if small:
        text = (
            f"{_photos(len(small))} with a side below {SMALL_SIDE} pixels, such as {small[0]}: little to see on them."
        )
        yield Severity.WARNING, "small", text
    odd = [
        photo.original
        for photo in checked.photos
        if max(photo.width, photo.height) > ODD_ASPECT * min(photo.width, photo.height)
    ]
    if odd:
        text = f"{_photos(len(odd))} longer than {ODD_ASPECT} : 1, such as {odd[0]}: panoramas or cut-outs?"
        yield Severity.WARNING, "odd_aspect", text


def _said(checked: Checked) -> Findings:
    silent = sum(not photo.licence for photo in checked.photos)
    if silent:
        text = f"{_photos(silent)} without a licence. Give it as --licence, or a column of the CSV."
        yield Severity.NOTE, "no_licence", text


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
