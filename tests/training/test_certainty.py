"""Thresholds and figures of how far answers can be relied on."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from contract.taxonomy import Depth  # noqa: E402
from training.calibrate import best_temperature  # noqa: E402
from training.certainty import measure_certainty, outcomes, parts_of, shares  # noqa: E402
from training.classes import named_rightly  # noqa: E402
from training.dataset import Photo  # noqa: E402
from training.evaluate import Answers  # noqa: E402
from training.network import load_taxonomy  # noqa: E402
from training.reliability import BINS, reliability  # noqa: E402
from training.thresholds import COVERAGE, SURE_TRIED, Calibration, calibrated, truth_probability  # noqa: E402

TAXONOMY = load_taxonomy()


def _photo(folder: str, set_: str = "species") -> Photo:
    return Photo(f"{set_}/{folder}/x.jpg", set_, folder, "caltech101", "CC-BY-4.0")


def _leaves(**shares: float) -> np.ndarray:
    leaves = np.zeros(len(TAXONOMY), np.float32)
    for key, value in shares.items():
        leaves[TAXONOMY.by_key(key).index] = value
    return leaves


def _taxon(key: str, depth: Depth) -> tuple[int, int]:
    return (TAXONOMY.by_key(key).index if key else -1, int(depth))


@pytest.mark.parametrize(
    ("folder", "taxon", "right"),
    [
        ("dog", ("beagle", Depth.SPECIES), True),
        ("dog", ("grey_wolf", Depth.SPECIES), False),
        ("dog", ("grey_wolf", Depth.GENUS), True),
        ("dog", ("lion", Depth.GENUS), False),
        ("dog", ("lion", Depth.ORDER), True),
        ("dog", ("", Depth.ANIMAL), True),
        ("dog", ("", Depth.EMPTY), False),
        ("dog", ("", Depth.UNKNOWN), False),
        ("night_monkey", ("capuchin", Depth.ORDER), True),
        ("night_monkey", ("capuchin", Depth.SPECIES), False),
        ("bald_uakari", ("titi", Depth.FAMILY), True),
    ],
)
def test_an_ancestor_of_the_truth_is_right(folder: str, taxon: tuple[str, Depth], right: bool) -> None:
    set_ = "species" if folder == "dog" else "new_species"
    assert named_rightly(_photo(folder, set_), *_taxon(*taxon), TAXONOMY) is right


def test_a_photo_of_nothing_is_rightly_empty_only() -> None:
    chair = _photo("chair", "no_animal")
    assert named_rightly(chair, *_taxon("", Depth.EMPTY), TAXONOMY)
    assert not named_rightly(chair, *_taxon("", Depth.ANIMAL), TAXONOMY)


def test_every_photo_has_one_outcome_and_refusals_are_not_named() -> None:
    taxa = np.array([_taxon("emu", Depth.SPECIES), _taxon("lion", Depth.CLASS), _taxon("", Depth.UNKNOWN)], np.int32)
    rows = outcomes(taxa, [_photo("emu")] * 3, TAXONOMY)
    assert np.sum(list(rows.values()), axis=0).tolist() == [1, 1, 1]
    assert shares(rows)["named_right"] == 0.5
    assert shares(rows)["unknown"] == pytest.approx(1 / 3, abs=1e-4)


def test_calibration_errors_are_those_of_the_definition() -> None:
    confidence = np.array([0.95] * 10 + [0.55] * 10, np.float32)
    correct = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    assert reliability(confidence, correct).error == pytest.approx((0.05 + 0.25) / 2, abs=1e-3)
    perfect = reliability(np.ones(4, np.float32), np.ones(4, np.bool_))
    assert perfect.error == 0
    assert len(perfect.share) == BINS


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_a_factor_on_the_logits(sharpness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 6, generator=generator) * 2
    drawn = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)
    accepted = torch.zeros(4000, 6, dtype=torch.bool).scatter_(1, drawn, True)
    assert best_temperature(logits * sharpness, accepted) == pytest.approx(sharpness, rel=0.06)


def _validation(count: int) -> tuple[np.ndarray, list[Photo]]:
    """Answers that are right and sure, but for one in ten, which is less sure the further on it stands."""
    sure = np.linspace(0.2, 0.99, count, dtype=np.float32)
    right = [_leaves(ant=share, tick=1 - share) for share in sure]
    return np.stack([*right, _leaves(no_animal=0.9)]), [*[_photo("ant")] * count, _photo("chair", "no_animal")]


def test_the_roll_up_threshold_is_the_lowest_at_which_named_answers_are_right() -> None:
    leaves, photos = _validation(40)
    found = calibrated(leaves, photos, TAXONOMY, 1.0)
    assert found.sure_from in SURE_TRIED
    wrong_below = float(leaves[leaves[:, TAXONOMY.by_key("tick").index] > 0.5].max())
    assert SURE_TRIED[0] < found.sure_from <= wrong_below + 0.02


def test_the_conformal_threshold_covers_at_least_what_it_promises() -> None:
    leaves, photos = _validation(99)
    found = calibrated(leaves, photos, TAXONOMY, 1.0)
    truth = truth_probability(leaves, photos, TAXONOMY)
    assert COVERAGE <= (truth >= found.alternatives_from).mean() <= COVERAGE + 0.02


def test_few_photos_promise_nothing_and_put_everything_into_the_set() -> None:
    leaves, photos = _validation(5)
    assert calibrated(leaves, photos, TAXONOMY, 1.0).alternatives_from == 0.0


def test_figures_are_given_part_by_part() -> None:
    photos = (_photo("ant"), _photo("chair", "no_animal"), _photo("night_monkey", "new_species"))
    leaves = np.stack([_leaves(ant=0.9, tick=0.1), _leaves(no_animal=0.9), _leaves(capuchin=0.5, titi=0.5)])
    assert set(parts_of(photos, TAXONOMY)) == {"folders", "novel", "source.caltech101"}
    figures = measure_certainty(Answers(photos, leaves, leaves), TAXONOMY, Calibration(1.0, 0.6, 0.5, 0.05))
    assert figures["right_species.folders"] == 0.5
    assert figures["empty.folders"] == 0.5
    assert figures["set_size.folders"] == 1.5
    assert figures["coverage.folders"] == 1.0
    assert figures["right_ancestor.novel"] == 1.0
    assert "coverage.novel" not in figures
