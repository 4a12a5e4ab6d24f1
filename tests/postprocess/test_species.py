"""Species are ranked by the sum over their leaves."""

from importlib import resources

import numpy as np

from contract.taxonomy import parse_taxonomy
from contract.tensors import TOP_K
from postprocess.species import SpeciesRanking, SpeciesSums

TAXONOMY = parse_taxonomy(resources.files("contract").joinpath("taxonomy.csv").read_text(encoding="utf-8"))


def _leaves(**shares: float) -> np.ndarray:
    leaves = np.zeros((1, len(TAXONOMY)), np.float32)
    for key, share in shares.items():
        leaves[0, TAXONOMY.by_key(key).index] = share
    return leaves


def test_breeds_are_one_answer_under_the_likeliest_of_them() -> None:
    ids, scores, names = SpeciesRanking(TAXONOMY).rank(_leaves(beagle=0.25, whippet=0.35, lion=0.4))
    assert [TAXONOMY[leaf].key for leaf in ids[0, :2]] == ["whippet", "lion"]
    assert np.allclose(scores[0, :2], [0.6, 0.4])
    assert names[0, 0] == TAXONOMY.by_key("beagle").common_name.encode()


def test_species_stand_best_first_and_no_score_exceeds_one() -> None:
    leaves = np.random.default_rng(0).dirichlet(np.full(len(TAXONOMY), 0.02), 20).astype(np.float32)
    _, scores, _ = SpeciesRanking(TAXONOMY).rank(leaves * np.float32(1.001))
    assert scores.shape == (20, TOP_K)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert scores.max() <= 1


def test_sums_keep_all_probability() -> None:
    leaves = np.random.default_rng(1).dirichlet(np.ones(len(TAXONOMY)), 4).astype(np.float32)
    sums = SpeciesSums(TAXONOMY).of(leaves)
    assert sums.shape == (4, len(TAXONOMY.species_names))
    assert np.allclose(sums.sum(axis=1), 1, atol=1e-5)
    for species in range(sums.shape[1]):
        inside = np.asarray(TAXONOMY.species_of_leaf) == species
        assert np.allclose(sums[:, species], leaves[:, inside].sum(axis=1), atol=1e-6)
