"""An answer is as narrow as it is sure, and a set of alternatives holds all that is likely."""

from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contract.taxonomy import COLUMNS, NO_ANIMAL, RANKS, Depth, parse_taxonomy
from contract.tensors import NO_SPECIES, TOP_K
from postprocess.rollup import RollUp
from postprocess.species import SpeciesSums

TAXONOMY = parse_taxonomy(resources.files("contract").joinpath("taxonomy.csv").read_text(encoding="utf-8"))
ROLL_UP = RollUp(TAXONOMY)

SMALL = """leaf,class,order,family,genus,species,common_name,variety,imagenet_row
lion,Mammalia,Carnivora,Felidae,Panthera,Panthera leo,lion,,1
leopard,Mammalia,Carnivora,Felidae,Panthera,Panthera pardus,leopard,,2
cat,Mammalia,Carnivora,Felidae,Felis,Felis catus,cat,tabby,3
persian,Mammalia,Carnivora,Felidae,Felis,Felis catus,cat,persian,4
wolf,Mammalia,Carnivora,Canidae,Canis,Canis lupus,wolf,,5
cow,Mammalia,Artiodactyla,Bovidae,Bos,Bos taurus,cow,,9
clownfish,Actinopterygii,,Pomacentridae,Amphiprion,,clownfish,,6
vulture,Aves,,,,,vulture,,7
flatworm,,,,,,flatworm,,8
no_animal,,,,,,no animal,,
"""
NAMES = [line.split(",")[0] for line in SMALL.splitlines()[1:]]
SMALL_ROLL_UP = RollUp(parse_taxonomy(SMALL))


def _leaves(**shares: float) -> np.ndarray:
    return np.array([[shares.get(name, 0.0) for name in NAMES]], np.float32)


def _answer(sure_from: float = 0.6, empty_from: float = 0.5, **shares: float) -> tuple[str, str, float]:
    taxon, score = SMALL_ROLL_UP.answer(_leaves(**shares), sure_from, empty_from)
    leaf, depth = taxon[0]
    return NAMES[leaf] if leaf != NO_SPECIES else "", Depth(depth).rank, round(float(score[0]), 4)


@pytest.mark.parametrize(
    ("shares", "answer"),
    [
        ({"lion": 0.7, "leopard": 0.3}, ("lion", "species", 0.7)),
        ({"cat": 0.35, "persian": 0.4, "lion": 0.25}, ("persian", "species", 0.75)),
        ({"lion": 0.5, "leopard": 0.4, "wolf": 0.1}, ("lion", "genus", 0.9)),
        ({"lion": 0.4, "cat": 0.45, "wolf": 0.15}, ("cat", "family", 0.85)),
        ({"lion": 0.5, "wolf": 0.5}, ("lion", "order", 1.0)),
        ({"lion": 0.35, "cow": 0.3, "vulture": 0.35}, ("lion", "class", 0.65)),
        ({"lion": 0.5, "clownfish": 0.5}, ("", "animal", 1.0)),
        ({"flatworm": 0.55, "lion": 0.45}, ("", "animal", 1.0)),
        ({"vulture": 0.9, "lion": 0.1}, ("vulture", "species", 0.9)),
        ({"no_animal": 0.6, "lion": 0.4}, ("", "empty", 0.6)),
        ({"no_animal": 0.45, "lion": 0.3, "wolf": 0.25}, ("", "unknown", 0.55)),
        ({"no_animal": 0.35, "lion": 0.3, "clownfish": 0.35}, ("", "animal", 0.65)),
    ],
)
def test_the_narrowest_sure_taxon_is_answered(shares: dict[str, float], answer: tuple[str, str, float]) -> None:
    assert _answer(**shares) == answer


def test_an_undefined_rank_is_no_group() -> None:
    assert _answer(vulture=0.5, flatworm=0.5)[1] == "animal"
    assert _answer(clownfish=0.55, lion=0.45, sure_from=0.56)[1] == "animal"


def test_no_animal_is_empty_only_if_it_is_best_and_sure_enough() -> None:
    assert _answer(no_animal=0.45, lion=0.55, empty_from=0.2, sure_from=0.5)[:2] == ("lion", "species")
    assert _answer(no_animal=0.4, lion=0.35, wolf=0.25, empty_from=0.4)[1] == "empty"
    assert _answer(no_animal=0.4, lion=0.35, wolf=0.25, empty_from=0.41)[:2] == ("lion", "order")


def test_every_photo_may_have_thresholds_of_its_own() -> None:
    leaves = np.concatenate([_leaves(lion=0.7, leopard=0.3), _leaves(lion=0.7, leopard=0.3), _leaves(no_animal=1.0)])
    taxon, _ = SMALL_ROLL_UP.answer(leaves, np.array([0.6, 0.8, 0.5], np.float32), np.array([0.5, 0.5, 1], np.float32))
    assert taxon[:, 1].tolist() == [Depth.SPECIES, Depth.GENUS, Depth.EMPTY]


def test_no_rows_are_answered_with_no_rows() -> None:
    nothing = np.empty((0, len(TAXONOMY)), np.float32)
    taxon, score = ROLL_UP.answer(nothing, 0.5, 0.5)
    assert (taxon.shape, score.shape, ROLL_UP.alternatives(nothing, 0.1).shape) == ((0, 2), (0,), (0, 3))


def test_a_species_in_two_genera_is_refused() -> None:
    with pytest.raises(ValueError, match="persian"):
        RollUp(parse_taxonomy(SMALL.replace("persian,Mammalia,Carnivora,Felidae,Felis", "persian,Mammalia,,,X")))


probabilities = arrays(np.float64, (3, len(TAXONOMY)), elements=st.sampled_from([0, 0, 0, 0, 0.01, 0.1, 1, 10])).map(
    lambda weights: ((weights + 1e-6) / (weights + 1e-6).sum(axis=1, keepdims=True)).astype(np.float32)
)
share = st.floats(0, 1, width=32)


def _covered(leaf: int, depth: int) -> np.ndarray:
    """BOOL [leaves]: what an answer covers, straight from the taxonomy."""
    if depth == Depth.EMPTY:
        return np.array([entry.key == NO_ANIMAL for entry in TAXONOMY])
    if depth <= Depth.ANIMAL:
        return np.array([entry.key != NO_ANIMAL for entry in TAXONOMY])
    if depth == Depth.SPECIES:
        return np.array([entry.common_name == TAXONOMY[leaf].common_name for entry in TAXONOMY])
    rank = RANKS.index(Depth(depth).rank)
    return np.array([entry.ranks[rank] == TAXONOMY[leaf].ranks[rank] != "" for entry in TAXONOMY])


@settings(max_examples=50, deadline=None)
@given(probabilities, share, share)
def test_the_score_is_the_sum_over_what_the_answer_covers(leaves: np.ndarray, sure: float, empty: float) -> None:
    taxon, score = ROLL_UP.answer(leaves, sure, empty)
    for row in range(len(leaves)):
        covered = _covered(*taxon[row])
        assert score[row] == pytest.approx(leaves[row, covered].sum(), abs=1e-5)
        if taxon[row, 1] >= Depth.CLASS:
            assert leaves[row, taxon[row, 0]] == leaves[row, covered].max()


@settings(max_examples=50, deadline=None)
@given(probabilities, st.floats(0.5078125, 1, width=32), st.floats(0.5078125, 1, width=32))
def test_a_stricter_threshold_answers_an_ancestor(leaves: np.ndarray, one: float, other: float) -> None:
    narrow, narrow_score = ROLL_UP.answer(leaves, min(one, other), 1.0)
    broad, broad_score = ROLL_UP.answer(leaves, max(one, other), 1.0)
    assert (broad[:, 1] <= narrow[:, 1]).all()
    for row in np.flatnonzero(broad[:, 1] >= Depth.ANIMAL):
        assert (_covered(*broad[row]) >= _covered(*narrow[row])).all()
        assert broad_score[row] >= narrow_score[row] - 1e-5


@settings(max_examples=50, deadline=None)
@given(probabilities, share, share)
def test_answers_never_get_narrower_as_the_threshold_rises(leaves: np.ndarray, one: float, other: float) -> None:
    narrow, _ = ROLL_UP.answer(leaves, min(one, other), 0.5)
    broad, _ = ROLL_UP.answer(leaves, max(one, other), 0.5)
    assert (broad[:, 1] <= narrow[:, 1]).all()


@settings(max_examples=25, deadline=None)
@given(probabilities, share, share, st.permutations([0, 1, 2]))
def test_a_row_is_answered_alone_as_in_a_batch(leaves: np.ndarray, sure: float, low: float, order: list[int]) -> None:
    taxon, score = ROLL_UP.answer(leaves, sure, 0.5)
    shuffled, shuffled_score = ROLL_UP.answer(leaves[order], sure, 0.5)
    assert np.array_equal(taxon[order], shuffled)
    assert np.array_equal(score[order], shuffled_score)
    assert np.array_equal(ROLL_UP.alternatives(leaves, low)[order], ROLL_UP.alternatives(leaves[order], low))


@settings(max_examples=50, deadline=None)
@given(probabilities, st.sampled_from([0.0005, 0.005, 0.03, 0.2, 0.9]))
def test_the_set_holds_all_that_is_likely_and_its_taxon_holds_the_set(leaves: np.ndarray, low: float) -> None:
    species = SpeciesSums(TAXONOMY).of(leaves)
    for row, (size, leaf, depth) in enumerate(ROLL_UP.alternatives(leaves, low).tolist()):
        assert size == max(1, (species[row] >= low).sum())
        if size <= TOP_K:
            assert (leaf, depth) == (NO_SPECIES, Depth.UNKNOWN)
            continue
        members = (species[row] >= low)[list(TAXONOMY.species_of_leaf)]
        if members[-1]:
            assert (leaf, depth) == (NO_SPECIES, Depth.UNKNOWN)
            continue
        assert _covered(leaf, depth)[members].all()
        if depth < Depth.GENUS:
            narrower = int(np.where(members, leaves[row], -1).argmax())
            assert not _covered(narrower, depth + 1)[members].all()


def test_the_columns_of_the_small_taxonomy_are_those_of_the_contract() -> None:
    assert tuple(SMALL.splitlines()[0].split(",")) == COLUMNS
