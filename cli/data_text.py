"""What ``bestiary data`` tells of checks and versions, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cli import render
from cli.options import complain

if TYPE_CHECKING:
    from training.datasets.model import NewSpecies
    from training.datasets.outcome import Checked
    from training.datasets.store import Version

BALANCE: Final = ("label", "animal", "train", "validation", "test", "photos")
VERSIONS: Final = ("data set", "written", "photos", "classes", "new species", "left out")


def facts(checked: Checked) -> dict[str, Any]:
    """A check as JSON."""
    return {
        "kind": checked.kind,
        "photos": len(checked.photos),
        "classes": checked.balance(),
        "species": [row.row() for row in checked.species],
        "near_duplicates": len(checked.pairs),
        "groups": len({photo.group for photo in checked.photos}),
        "problems": [{"severity": one.severity, "code": one.code, "text": one.text} for one in checked.problems],
        "left_out": [
            {"name": one.name, "label": one.label, "reason": one.reason, "detail": one.detail}
            for one in checked.left_out
        ],
    }


def tell(checked: Checked) -> None:
    """Balance on standard output, problems on standard error."""
    rows = [
        (label, checked.names[label], *map(str, counts.values()), str(sum(counts.values())))
        for label, counts in checked.balance().items()
    ]
    render.print_table(BALANCE, rows)
    tell_problems(checked)


def tell_problems(checked: Checked) -> None:
    """A problem a line, on standard error."""
    for problem in checked.problems:
        complain(render.printable(f"{problem.severity}: {problem.text}"))


def version_facts(version: Version) -> dict[str, Any]:
    """A version as JSON."""
    return {
        "name": version.name,
        "digest": version.digest,
        "identity": version.identity,
        "folder": str(version.folder),
        "created_at": version.created_at.isoformat(),
        "classes": version.classes,
        "photos": version.photos,
        "new_species": list(version.new_species),
        "left_out": version.left_out,
    }


def version_row(version: Version) -> tuple[str, ...]:
    """The cells under ``VERSIONS``."""
    written = version.created_at.isoformat(" ", "seconds")
    numbers = (version.photos, len(version.classes), len(version.new_species), version.left_out)
    return version.identity, written, *map(str, numbers)


def tell_version(version: Version, names: dict[str, str], species: tuple[NewSpecies, ...]) -> None:
    """One version with its classes and new species; ``names``: key of a new species -> common name."""
    from training.datasets.write import LEFT_OUT, REPORT

    print(f"{version.identity}, written {version.created_at.isoformat(' ', 'seconds')}")
    rows = [
        (label, names.get(label, ""), *map(str, counts.values()), str(sum(counts.values())))
        for label, counts in version.classes.items()
    ]
    render.print_table(("label", "new species", *BALANCE[2:]), rows)
    if species:
        render.print_table(
            ("new species", "taxonomy"), [(row.key, " > ".join(filter(None, row.ranks))) for row in species]
        )
    for file, what in ((REPORT, "report"), (LEFT_OUT, f"{version.left_out} left out")):
        if (version.folder / file).is_file():
            print(f"{what}: {version.folder / file}")
