"""A taxonomy with more species is the old one for everything that it knew."""

import pytest

torch = pytest.importorskip("torch")

from contract.taxonomy import NO_ANIMAL, parse_taxonomy  # noqa: E402
from training.adding.taxonomy import extended, relatives, with_new_rows  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.mobilenet import MobileNetV2  # noqa: E402
from training.network import count_rows, leaf_rows, load_taxonomy, taxonomy_text  # noqa: E402

BASE = load_taxonomy()
RANKS = {"class": "Mammalia", "order": "Primates", "family": "Cercopithecidae", "genus": "Macaca"}


def _row(leaf: str, **cells: str) -> dict[str, str]:
    return {"leaf": leaf, **RANKS, "species": f"Macaca {leaf}", "common_name": leaf.replace("_", " "), **cells}


def test_old_animals_keep_their_numbers_and_no_animal_stays_last() -> None:
    taxonomy = parse_taxonomy(extended(taxonomy_text(), [_row("fuscata"), _row("nigra")]))
    assert [leaf.key for leaf in taxonomy][: len(BASE) - 1] == [leaf.key for leaf in BASE][:-1]
    assert [leaf.key for leaf in taxonomy][-3:] == ["fuscata", "nigra", NO_ANIMAL]


def test_every_old_leaf_keeps_its_logit_even_after_two_extensions() -> None:
    once = extended(taxonomy_text(), [_row("fuscata")])
    twice = parse_taxonomy(extended(once, [_row("nigra")]))
    rows = leaf_rows(twice)
    assert rows[: len(BASE) - 1] == leaf_rows(BASE)
    assert rows[-2:] == [count_rows(BASE), count_rows(BASE) + 1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row("macaque"), "already"),
        (_row("x", common_name="macaque"), "another species"),
        (_row("y", common_name=""), "common name"),
    ],
)
def test_what_would_be_two_of_one_name_is_refused(row: dict[str, str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        extended(taxonomy_text(), [row])


def test_commas_in_names_stay_in_their_cell() -> None:
    taxonomy = parse_taxonomy(extended(taxonomy_text(), [_row("x", common_name="macaque, red")]))
    assert taxonomy.by_key("x").common_name == "macaque, red"


def test_relatives_share_the_narrowest_rank_that_any_shares() -> None:
    taxonomy = parse_taxonomy(
        extended(
            taxonomy_text(),
            [_row("near"), _row("far", genus="Nullus"), _row("alone", **dict.fromkeys(RANKS, "Nihil"), species="")],
        )
    )
    assert [leaf.key for leaf in relatives(taxonomy.by_key("near"), BASE)] == ["macaque"]
    families = {leaf.ranks[2] for leaf in relatives(taxonomy.by_key("far"), BASE)}
    assert families == {"Cercopithecidae"}
    assert relatives(taxonomy.by_key("alone"), BASE) == []


def test_a_new_row_starts_as_its_relatives_and_old_rows_are_untouched() -> None:
    taxonomy = parse_taxonomy(extended(taxonomy_text(), [_row("fuscata")]))
    network = MobileNetV2(count_rows(BASE))
    wider = with_new_rows(network, BASE, taxonomy)
    macaque = BASE.by_key("macaque").imagenet_row
    assert torch.equal(wider.head.weight[: count_rows(BASE)], network.head.weight)
    assert torch.equal(wider.head.weight[-1], network.head.weight[macaque])
    assert torch.equal(wider.head.bias[-1], network.head.bias[macaque])
