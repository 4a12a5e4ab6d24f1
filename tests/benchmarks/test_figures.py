"""Percentiles and what is made of several rounds."""

from __future__ import annotations

import pytest

from benchmarks.bound import Bound
from benchmarks.figures import median, percentile, spread
from benchmarks.perf_analyzer import Report
from benchmarks.rounds import Batches, Run, difference, summarise


def test_a_percentile_is_a_sample_that_was_measured() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert percentile(samples, 50) == 50
    assert percentile(samples, 99) == 99
    assert percentile(samples, 100) == 100
    assert percentile([7.0], 1) == 7.0
    assert percentile([1.0, 2.0], 50.1) == 2.0


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_a_percentile_of_nothing_is_refused(samples: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(samples, percent)


def test_median_and_spread() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([1.0, 2.0]) == 1.5
    assert spread([3.0, 1.04, 2.0]) == "1.0-3.0"


def test_the_bound_counts_all_processes() -> None:
    bound = Bound(photos=400, seconds=2.0, cpu_seconds=4.0)
    assert bound.photos_per_s == 200
    assert bound.cpu_ms_per_photo == 10


def run(rate: float, p50: float, photos: int, gateway_s: float) -> Run:
    batches = {"animals": Batches(photos, photos // 2), "classifier": Batches(photos, photos)}
    return Run(Report(rate, p50, 2 * p50, 3 * p50), photos, {"gateway": gateway_s, "perf_analyzer": 1.0}, batches)


def test_rounds_are_put_together_by_photos_not_by_rounds() -> None:
    summary = summarise([run(100, 10, 100, 1.0), run(50, 30, 300, 1.0), run(60, 20, 600, 2.0)])
    assert summary.photos == 1000
    assert summary.photos_per_s == pytest.approx(70)
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms) == (20, 40, 60)
    assert summary.cpu_ms_per_photo == {"gateway": 4.0, "perf_analyzer": 3.0}
    assert summary.mean_batch == {"animals": 2.0, "classifier": 1.0}


def test_only_what_triton_counted_in_between_counts() -> None:
    before = {"animals": Batches(10, 10)}
    after = {"animals": Batches(30, 20), "classifier": Batches(5, 5)}
    assert difference(before, after) == {"animals": Batches(20, 10), "classifier": Batches(5, 5)}
