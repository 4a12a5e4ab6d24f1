"""The fold from 1,016 logits to 414 leaves, and the losses over them."""

import math

import pytest

torch = pytest.importorskip("torch")

from contract.taxonomy import NO_ANIMAL  # noqa: E402
from training.calibrate import best_offset, raised, unseen_rows  # noqa: E402
from training.losses import accepted_rows, forgetting_loss, set_loss  # noqa: E402
from training.mobilenet import MobileNetV2  # noqa: E402
from training.network import Fold, count_rows, leaf_rows, load_taxonomy, no_animal_rows  # noqa: E402


def test_every_logit_belongs_to_one_leaf() -> None:
    taxonomy = load_taxonomy()
    rows = leaf_rows(taxonomy) + no_animal_rows(taxonomy)
    assert sorted(rows) == list(range(1016)) == list(range(count_rows(taxonomy)))


def test_folded_probabilities_sum_to_one() -> None:
    taxonomy = load_taxonomy()
    folded = Fold(taxonomy)(torch.randn(4, 1016) * 5)
    assert folded.shape == (4, len(taxonomy))
    assert torch.allclose(folded.sum(dim=1), torch.ones(4), atol=1e-5)


@pytest.mark.parametrize(("row", "leaf"), [(0, NO_ANIMAL), (1000, NO_ANIMAL), (1, "tench"), (1001, "bass")])
def test_a_certain_logit_becomes_its_leaf(row: int, leaf: str) -> None:
    taxonomy = load_taxonomy()
    logits = torch.zeros(1, 1016)
    logits[0, row] = 30.0
    folded = Fold(taxonomy)(logits)[0]
    assert folded[taxonomy.by_key(leaf).index] > 0.999


def test_the_set_loss_is_the_log_of_the_summed_probability() -> None:
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    accepted = torch.tensor([[True, False, True, False]])
    assert set_loss(logits, accepted).item() == pytest.approx(-math.log(0.4), abs=1e-6)


def test_no_animal_accepts_all_that_is_no_animal() -> None:
    taxonomy = load_taxonomy()
    mask = accepted_rows((taxonomy.by_key(NO_ANIMAL).index,), taxonomy)
    assert mask.nonzero().flatten().tolist() == no_animal_rows(taxonomy)


def test_moving_mass_into_the_accepted_set_is_no_forgetting() -> None:
    base = torch.randn(2, 1001)
    accepted = torch.zeros(2, 1016, dtype=torch.bool)
    accepted[:, 5:9] = True
    moved = torch.cat((base, torch.zeros(2, 15)), dim=1)
    moved[:, 5:9] += 4.0
    assert forgetting_loss(moved, base, accepted) == pytest.approx(torch.zeros(2), abs=1e-4)


def test_reordering_what_the_base_knew_is_forgetting() -> None:
    base = torch.randn(1, 1001)
    accepted = torch.zeros(1, 1016, dtype=torch.bool)
    accepted[:, 1001] = True
    changed = torch.cat((base.flip(1), torch.zeros(1, 15)), dim=1)
    assert forgetting_loss(changed, base, accepted).item() > 0.1


def test_calibration_raises_unseen_animals_until_the_score_suffers() -> None:
    assert best_offset(lambda offset: 0.9 if offset < 0.6 else 0.8) == 0.5
    network = MobileNetV2(4)
    change = raised(network, [2, 3], 0.5).head.bias - network.head.bias
    assert change.tolist() == pytest.approx([0.0, 0.0, 0.5, 0.5], abs=1e-6)


def test_objects_and_shown_animals_are_not_raised() -> None:
    taxonomy = load_taxonomy()
    shown = accepted_rows((taxonomy.by_key("tench").index,), taxonomy)
    rows = unseen_rows(torch.stack([shown, accepted_rows((len(taxonomy) - 1,), taxonomy)]), taxonomy)
    assert len(rows) == len(taxonomy) - 2
    assert not set(rows) & {1, *no_animal_rows(taxonomy)}
