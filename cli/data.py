"""``bestiary data``: photos of one's own, checked, and kept as versions that a training can name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import data_text, render
from cli.options import FAILED, INTERRUPTED, USAGE, complain
from training.errors import DataError

if TYPE_CHECKING:  # they bring OpenCV, which no other command needs to start
    from training.datasets.check import Settings
    from training.datasets.model import NewSpecies, Part
    from training.datasets.outcome import Checked

app = typer.Typer(
    help="Photos of your own: check them, keep them as versions that `bestiary train` takes.\n\n"
    "Example: bestiary data add photos/ --name monkeys --species new_species.csv",
    no_args_is_help=True,
)


Source = Annotated[
    Path,
    typer.Argument(help="A folder with a folder a class, a COCO Camera Traps .json, or a .csv with path and label."),
]
Species = Annotated[
    Path | None,
    typer.Option("--species", metavar="FILE", help="CSV: leaf, class, order, family, genus, species, common_name."),
]
Photos = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the paths of a .json or .csv start; else beside it.")
]
Skip = Annotated[list[str] | None, typer.Option(metavar="LABEL", help="Leave these photos out; may be repeated.")]
BaseTaxonomy = Annotated[
    Path | None, typer.Option(metavar="FILE", help="taxonomy.csv of the release to add to; else the one built in.")
]
SourceName = Annotated[str, typer.Option("--source", help="Where photos come from that do not say so themselves.")]
Licence = Annotated[str, typer.Option(help="The licence of photos that do not name one.")]
Seed = Annotated[int, typer.Option(help="Another seed holds other photos back.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
Datasets = Annotated[
    Path,
    typer.Option("--datasets", "--out", envvar="BESTIARY_DATASETS", metavar="FOLDER", help="The folder of data sets."),
]
DEFAULT_DATASETS: Final = Path("datasets")


@app.command()
def check(
    source: Source,
    species: Species = None,
    photos: Photos = None,
    skip: Skip = None,
    taxonomy: BaseTaxonomy = None,
    source_name: SourceName = "",
    licence: Licence = "",
    seed: Seed = 7,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found as one HTML page with thumbnails.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at every photo and tell what is wrong: labels, damaged files, duplicates, balance. Changes nothing.

    Example: bestiary data check photos/ --species new_species.csv --report report.html

    Exit codes:
    0 it can be added, warnings or not
    1 it cannot: the problems marked 'refused' say why
    2 wrong usage
    """
    with _errors_as_exits(), _bar() as bar:
        settings = _settings(photos, skip, source_name, licence, seed)
        checked = _check(source, species, taxonomy, settings, {}, bar)
        if report is not None:
            _write(report, _render(checked, source.name or str(source), bar))
    if as_json:
        print(json.dumps(data_text.facts(checked)))
    else:
        data_text.tell(checked)
    if report is not None:
        complain(f"Wrote the report to {report}.")
    if checked.refused:
        raise typer.Exit(FAILED)


@app.command()
def add(
    source: Source,
    name: Annotated[str, typer.Option(help="Of the data set, such as monkeys.")],
    species: Species = None,
    photos: Photos = None,
    skip: Skip = None,
    taxonomy: BaseTaxonomy = None,
    source_name: SourceName = "",
    licence: Licence = "",
    seed: Seed = 7,
    datasets: Datasets = DEFAULT_DATASETS,
    as_json: AsJson = False,
) -> None:
    """Check photos, split them and write them as a version, with its report.

    The same photos with the same labels are the same version. Photos that an
    earlier version of NAME has stay in their part: what was held back once is
    never learned from later.

    Example: bestiary data add photos/ --name monkeys --species new_species.csv

    Exit codes:
    0 written, or there already
    1 refused: nothing was written
    2 wrong usage
    """
    from training.datasets.store import earlier_parts
    from training.datasets.write import REPORT, check_name, write_version

    with _errors_as_exits(), _bar() as bar:
        check_name(name)
        settings = _settings(photos, skip, source_name, licence, seed)
        checked = _check(source, species, taxonomy, settings, earlier_parts(datasets, name), bar)
        if checked.refused:
            data_text.tell_problems(checked)
            complain("Nothing was written.")
            raise typer.Exit(FAILED)
        page = _render(checked, name, bar) if _has_jinja() else ""
        bar.start("copying photos", len(checked.photos))
        dataset, new = write_version(datasets, name, checked, seed, page, bar.tick)
    folder = datasets / name / dataset.digest
    if as_json:
        print(json.dumps({"identity": dataset.identity, "folder": str(folder), "new": new, **data_text.facts(checked)}))
        return
    data_text.tell(checked)
    complain(f"Wrote {dataset.identity} to {folder}." if new else f"{dataset.identity} is there already, in {folder}.")
    if (folder / REPORT).is_file():
        complain(f"Look at {folder / REPORT} before you train.")
    else:
        complain("There is no HTML report, as Jinja is not installed: make install-dev")


@app.command("list")
def list_datasets(datasets: Datasets = DEFAULT_DATASETS, as_json: AsJson = False) -> None:
    """List all versions of all data sets.

    Example: bestiary data list

    Exit codes: 0 listed, even if there are none, 2 wrong usage
    """
    from training.datasets.store import list_versions

    versions = list_versions(datasets)
    if as_json:
        for version in versions:
            print(json.dumps(data_text.version_facts(version)))
        return
    render.print_table(data_text.VERSIONS, [data_text.version_row(version) for version in versions])
    if not versions:
        complain(f"There is no data set in {datasets}.")


@app.command()
def show(
    wanted: Annotated[str, typer.Argument(metavar="NAME[@DIGEST]", help="The newest version, or the one named.")],
    datasets: Datasets = DEFAULT_DATASETS,
    verify: Annotated[bool, typer.Option("--verify", help="Read every photo and compare its digest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one version: its classes, parts, new species, and where its report is.

    Example: bestiary data show monkeys

    Exit codes:
    0 shown
    1 there is no such version, or it is damaged
    2 wrong usage
    """
    from training.datasets.store import damaged, find_version, list_versions, read_dataset

    with _errors_as_exits(), _bar() as bar:
        folder = find_version(datasets, wanted)
        version = next(version for version in list_versions(datasets) if version.folder == folder)
        dataset = read_dataset(folder)
        if verify:
            bar.start("reading photos", len(dataset.photos))
        spoilt = damaged(dataset, bar.tick) if verify else []
    if as_json:
        rows = [row.row() for row in dataset.species]
        print(
            json.dumps(
                {**data_text.version_facts(version), "species": rows, "damaged": [photo.path for photo in spoilt]}
            )
        )
    else:
        data_text.tell_version(version, {row.key: row.common_name for row in dataset.species}, dataset.species)
    if spoilt:
        complain(f"{len(spoilt)} photos are damaged, such as {spoilt[0].path}: delete them and add the data set again.")
        raise typer.Exit(FAILED)


class _Bar:
    """A bar on standard error for one stage after the other."""

    def __init__(self, shown: bool) -> None:
        self.rich = render.progress(shown)
        self._task: Any = None

    def start(self, what: str, total: int) -> None:
        """Begin a stage; the one before is done."""
        if self._task is not None:
            self.rich.remove_task(self._task)
        self._task = self.rich.add_task(what, total=total)

    def tick(self) -> None:
        """One more is done."""
        if self._task is not None:
            self.rich.advance(self._task)


@contextmanager
def _bar() -> Iterator[_Bar]:
    bar = _Bar(sys.stderr.isatty())
    with bar.rich:
        yield bar


@contextmanager
def _errors_as_exits() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        complain(render.printable(str(error)))
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        complain("Stopped. Nothing is half written: run it again to go on.")
        raise typer.Exit(INTERRUPTED) from None


def _settings(photos: Path | None, skip: list[str] | None, source: str, licence: str, seed: int) -> Settings:
    from training.datasets.check import Settings

    return Settings(photos=photos, skip=frozenset(skip or ()), source=source, licence=licence, seed=seed)


def _check(
    source: Path, species: Path | None, taxonomy: Path | None, settings: Settings, earlier: dict[str, Part], bar: _Bar
) -> Checked:
    from training.datasets.check import check_source
    from training.datasets.labels import base_taxonomy, read_species

    rows: tuple[NewSpecies, ...] = read_species(species) if species is not None else ()
    return check_source(source, base_taxonomy(taxonomy), rows, settings, earlier, bar)


def _has_jinja() -> bool:
    from importlib.util import find_spec

    return find_spec("jinja2") is not None


def _render(checked: Checked, title: str, bar: _Bar) -> str:
    from training.datasets.report import render as render_report
    from training.datasets.report import thumbnails_in

    if not _has_jinja():
        complain("The report needs Jinja, which is not installed: make install-dev")
        raise typer.Exit(USAGE)
    bar.start("drawing the report", thumbnails_in(checked))
    return render_report(checked, render.printable(title), bar.tick)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror}.") from None
