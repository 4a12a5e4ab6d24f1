"""From what people write on photos to leaves of the taxonomy."""

from __future__ import annotations

import csv
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from contract.manifest import TAXONOMY_NAME
from contract.taxonomy import NO_ANIMAL, RANKS, Leaf, Taxonomy, TaxonomyError, parse_taxonomy
from training.datasets.model import NewSpecies
from training.errors import DataError

BLANKS: Final = frozenset({"empty", "blank", "no animal", "nothing"})
"""What camera-trap people call a photo without an animal, besides ``NO_ANIMAL``."""

SPECIES_COLUMNS: Final = ("leaf", *RANKS, "common_name")
_KEY: Final = re.compile(r"[a-z0-9_]{1,64}")
_NEAREST: Final = 3
_CUTOFF: Final = 0.7
"""Of difflib's ratio: 'lyon' finds 'lion' (0.75); from 0.6 on 'unicorn' finds birds."""


def base_taxonomy(file: Path | None = None) -> Taxonomy:
    """The taxonomy in ``file``, or the one of the package ``contract``. Raises DataError."""
    try:
        if file is None:
            return parse_taxonomy(resources.files("contract").joinpath(TAXONOMY_NAME).read_text(encoding="utf-8"))
        return parse_taxonomy(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The taxonomy {file} cannot be read: {error}.") from None
    except (TaxonomyError, ValueError) as error:
        raise DataError(f"{file} is no taxonomy: {error}") from None


def folded(name: str) -> str:
    """A name as it is compared: case, underscores, hyphens and repeated blanks do not count."""
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()


@dataclass(frozen=True, slots=True)
class UnknownLabel:
    """A label that is no leaf and has no row among the new species."""

    label: str
    nearest: tuple[str, ...]
    """Names it may have been meant to be, best first."""
    means: tuple[str, ...] = ()
    """Keys of the leaves it may mean, where it means several: 'domestic dog' is any breed."""

    def __str__(self) -> str:
        if self.means:
            some = ", ".join(self.means[:_NEAREST])
            return f"'{self.label}' means {len(self.means)} leaves, such as {some}: use the key of one of them."
        if self.nearest:
            return f"'{self.label}' is not in the taxonomy. Did you mean {' or '.join(self.nearest)}?"
        return f"'{self.label}' is not in the taxonomy, nor is any name like it."


class Labels:
    """Looks labels up by key, common name and scientific name, in the taxonomy and among new species."""

    def __init__(self, taxonomy: Taxonomy, rows: Sequence[NewSpecies] = (), where: str = "--species") -> None:
        """Raises DataError if a row of ``rows`` contradicts the taxonomy or another row."""
        self._keys: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = defaultdict(set)
        self._shown: dict[str, str] = {}
        self.new: dict[str, NewSpecies] = {}
        """Key -> row, of those that are no leaf of the taxonomy yet."""
        self.already: dict[str, str] = {}
        """Key of a row -> leaf that this animal is already."""
        _check_lineages(taxonomy, rows, where)
        for leaf in taxonomy:
            self._learn(leaf.key, leaf.key, leaf.common_name, leaf.scientific_name)
        for row in rows:
            leaf_key = _leaf_of(taxonomy, row, where)
            if leaf_key is None:
                self.new[row.key] = row
            else:
                self.already[row.key] = leaf_key
            self._learn(leaf_key or row.key, row.key, row.common_name, row.ranks[-1])
        for name in BLANKS:
            self._keys[name].add(NO_ANIMAL)

    def _learn(self, key: str, *names: str) -> None:
        for table, name in zip((self._keys, self._names, self._names), names, strict=True):
            if name:
                table[folded(name)].add(key)
                self._shown.setdefault(folded(name), name)

    def resolve(self, label: str) -> str | UnknownLabel:
        """The key of the leaf that ``label`` means."""
        name = folded(label)
        for table in (self._keys, self._names):
            means = table.get(name)
            if means and len(means) == 1:
                return next(iter(means))
            if means:
                return UnknownLabel(label, (), tuple(sorted(means)))
        return UnknownLabel(label, tuple(self._shown[one] for one in self._nearest(name)))

    def _nearest(self, name: str) -> list[str]:
        """Narrower names ('panda': 'red panda'), or else those spelled like it."""
        narrower = sorted(
            (known for known in self._shown if f" {name} " in f" {known} "), key=lambda one: (len(one), one)
        )
        if not name or narrower:
            return narrower[:_NEAREST] if name else []
        return difflib.get_close_matches(name, self._shown, _NEAREST, _CUTOFF)


def read_species(file: Path) -> tuple[NewSpecies, ...]:
    """The rows of a ``--species`` file: ``SPECIES_COLUMNS``, ``variety`` if it likes; narrow ranks may be empty.

    Raises DataError that names the line.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in SPECIES_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{file} has no column {', '.join(missing)}. It needs the header {','.join(SPECIES_COLUMNS)}; "
                    "docs/examples/new_species.csv is one."
                )
            rows = [_row(cells, f"{file}, line {reader.line_num}") for cells in reader]
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8. Save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise DataError(f"{file} is no CSV: {error}.") from None
    for what in ("key", "common_name"):
        names = [folded(getattr(row, what)) for row in rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{file}: '{twice}' stands there twice. Give each species one row.")
    return tuple(rows)


def _row(cells: Mapping[str, str | None], where: str) -> NewSpecies:
    key, *ranks, common_name = ((cells[column] or "").strip() for column in SPECIES_COLUMNS)
    if not _KEY.fullmatch(key):
        raise DataError(f"{where}: the leaf '{key[:80]}' has to be 1 to 64 letters a-z, digits or underscores.")
    if folded(key) in BLANKS:
        raise DataError(f"{where}: '{key}' is what photos without an animal are called. Choose another key.")
    if not common_name or not ranks[0]:
        raise DataError(f"{where}: {key} needs a class (such as Mammalia) and a common name.")
    depth = sum(map(bool, ranks))
    if any(ranks[depth:]):
        raise DataError(f"{where}: {key} leaves a rank empty above one that is given. Fill it in.")
    if ranks[4] and ranks[4].split()[0] != ranks[3]:
        raise DataError(f"{where}: the species {ranks[4]} is not of the genus {ranks[3]}. Write it as 'Genus species'.")
    variety = (cells.get("variety") or "").strip()
    return NewSpecies(key, tuple(ranks), common_name, variety)  # type: ignore[arg-type]  # five, by SPECIES_COLUMNS


def _check_lineages(taxonomy: Taxonomy, rows: Sequence[NewSpecies], where: str) -> None:
    """Refuse a genus in another family, a family in another order, ... than the taxonomy or an earlier row has."""
    above: dict[tuple[int, str], str] = {}
    for entry in (*taxonomy, *rows):
        for depth in range(1, len(RANKS) - 1):
            name, parent = entry.ranks[depth], entry.ranks[depth - 1]
            known = above.setdefault((depth, name), parent) if name else parent
            if known != parent and isinstance(entry, NewSpecies):
                raise DataError(
                    f"{where}: {entry.key} has the {RANKS[depth]} {name} in the {RANKS[depth - 1]} {parent}; "
                    f"it is known in {known}. Correct one of them."
                )
    for row in rows:
        for depth, (rank, name) in enumerate(zip(RANKS, row.ranks, strict=True)):
            known_names = {leaf.ranks[depth] for leaf in taxonomy} - {""}
            if depth < 2 and name and name not in known_names:
                near = difflib.get_close_matches(name, known_names, 1, 0.8)
                if near:
                    raise DataError(f"{where}: {row.key} has the {rank} {name}. Did you mean {near[0]}?")


def _leaf_of(taxonomy: Taxonomy, row: NewSpecies, where: str) -> str | None:
    """The leaf that a row's animal is already, or None. Raises DataError if it takes another animal's name."""
    found = None
    for leaf in taxonomy:
        breed = bool(leaf.variety)  # others of its species share its names
        same_name = leaf.key == row.key or (not breed and folded(leaf.common_name) == folded(row.common_name))
        if same_name and not _holds(leaf, row.ranks):
            raise DataError(
                f"{where}: '{row.key}' ({row.common_name}) has the name of the leaf {leaf.key}, which is "
                f"{leaf.scientific_name or 'no animal'}. Choose another key and common name."
            )
        if same_name or (row.ranks[-1] and leaf.ranks[-1] == row.ranks[-1] and not breed):
            found = found or leaf.key
    return found


def _holds(leaf: Leaf, ranks: Iterable[str]) -> bool:
    """Whether an animal with these ranks is one of the leaf's."""
    return leaf.key != NO_ANIMAL and all(mine in ("", other) for mine, other in zip(leaf.ranks, ranks, strict=True))
