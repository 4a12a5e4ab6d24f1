"""The taxonomy file obeys the rules that everything else relies on."""

from __future__ import annotations

import pytest

from contract.taxonomy import COLUMNS, NO_ANIMAL, RANKS, TaxonomyError, parse_taxonomy
from tests.support.stack import ROOT

TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())


def test_all_animals_of_the_base_network_are_leaves() -> None:
    assert sorted(leaf.imagenet_row for leaf in TAXONOMY if leaf.imagenet_row) == list(range(1, 399))
    assert len(TAXONOMY) == 398 + 15 + 1
    assert TAXONOMY[len(TAXONOMY) - 1].key == NO_ANIMAL


def test_a_rank_has_one_parent() -> None:
    for narrow in range(1, len(RANKS)):
        parents: dict[str, tuple[str, ...]] = {}
        for leaf in TAXONOMY:
            if name := leaf.ranks[narrow]:
                assert parents.setdefault(name, leaf.ranks[:narrow]) == leaf.ranks[:narrow], name


def test_leaves_of_one_species_are_one_answer() -> None:
    dogs = {TAXONOMY.species_of_leaf[leaf.index] for leaf in TAXONOMY if leaf.ranks[-1] == "Canis familiaris"}
    assert len(dogs) == 1
    assert sum(1 for leaf in TAXONOMY if leaf.common_name == "domestic dog") > 100
    by_species = {leaf.ranks[-1]: leaf.common_name for leaf in TAXONOMY if leaf.ranks[-1]}
    assert all(by_species[leaf.ranks[-1]] == leaf.common_name for leaf in TAXONOMY if leaf.ranks[-1])


@pytest.mark.parametrize(
    "text",
    [
        "leaf,common_name\ncat,cat\n",
        ",".join(COLUMNS) + "\ncat,,,,,,cat,,\n",
        ",".join(COLUMNS) + "\n,,,,,,cat,,\nno_animal,,,,,,no animal,,\n",
        ",".join(COLUMNS) + "\ncat,,,,,,cat,,\ncat,,,,,,other,,\nno_animal,,,,,,no animal,,\n",
    ],
)
def test_a_broken_taxonomy_is_refused(text: str) -> None:
    with pytest.raises(TaxonomyError):
        parse_taxonomy(text)
