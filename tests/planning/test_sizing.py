from __future__ import annotations

import math
from dataclasses import replace

import pytest

from contract.options import Task
from planning.costs import cost, store_needs
from planning.curves import ASSUMED_GPU, MEASURED_HERE, quantiles, read_curves
from planning.errors import BadInput, CannotMeet
from planning.node import Setup, Speeds
from planning.plan import Wish, make_plan
from planning.prices import read_prices
from planning.sizing import Node, highest_rate, meets, size

SETUP = Setup(cores=1, instances=1)


def node(curves, **more: float) -> Node:
    made = curves(ms=10.0, edge_loop_ms=1.0, ratios=(0.9, 1.0, 1.1), **more)
    return Node(made, made.profiles[0], SETUP, photos=800)


def test_the_highest_rate_meets_and_a_little_more_does_not(curves):
    one = node(curves)
    most = highest_rate(one, 0.25)
    assert 60 < most < 95
    assert meets(one, most, 0.25)
    assert not meets(one, 1.1 * most, 0.25)


def test_a_stricter_p99_needs_more_nodes(curves):
    one = node(curves)
    loose, strict = size(one, 200.0, 0.25), size(one, 200.0, 0.04)
    assert strict.nodes > loose.nodes
    assert strict.p99_ms <= 40
    assert loose.per_node_per_s <= loose.max_per_node_per_s


def test_spare_nodes_come_on_top(curves):
    sized = size(node(curves), 100.0, 0.25, spare=2)
    assert sized.nodes == math.ceil(100.0 / sized.max_per_node_per_s) + 2
    assert sized.per_node_per_s == pytest.approx(100.0 / (sized.nodes - 2))


def test_a_p99_that_one_idle_node_misses_is_told(curves):
    with pytest.raises(CannotMeet, match=r"A p99 of 8 ms cannot be met with any number of nodes.* 1. ms"):
        size(node(curves), 100.0, 0.008)


def test_a_rate_that_needs_too_many_nodes_is_told(curves):
    with pytest.raises(CannotMeet, match="take larger machines"):
        size(node(curves), 1e6, 0.25)


def test_speeds_interpolate_and_share(curves):
    made = curves(cores=2, slow=(1.0, 1.6, 2.4))
    same, twice = (Speeds(made.profiles[0], made, cores) for cores in (2, 4))
    assert [same.of(1, jobs) for jobs in (1, 2, 3)] == pytest.approx([1, 1 / 1.6, 1 / 2.4])
    assert same.of(1, 6) == pytest.approx(1 / 4.8)  # twice as many jobs as were measured get half of it each
    assert [twice.of(1, jobs) for jobs in (1, 2, 4)] == pytest.approx([1, 1, 1 / 1.6])
    assert twice.of(1, 3) == pytest.approx((1 + 1 / 1.6) / 2)


def test_service_between_measured_batches_is_a_line(curves):
    profile = curves(ms=10.0, each=4.0).profiles[0]
    assert [profile.alone_ms(batch) for batch in (1, 3, 8, 32)] == pytest.approx([10, 18, 38, 134])


def test_request_units_are_provisioned_above_what_is_spent():
    prices = read_prices()
    needs = store_needs(200.0, prices)
    assert needs.units_per_s == pytest.approx(200 * prices.store.request_units_per_write, rel=0.01)
    assert needs.provisioned_units_per_s % 100 == 0
    assert needs.provisioned_units_per_s >= prices.store.headroom * needs.units_per_s
    # one minute of photos is made up for by what is drained faster than it comes
    assert needs.backlog_s == pytest.approx(60 * 200 / (needs.drained_per_s - 200))


def test_a_million_photos_cost_what_the_table_says(curves):
    made, prices = curves(), read_prices()
    sku = prices.sku("Standard_D4s_v5")
    found = cost(100.0, 3, sku, made, made.profiles[0], prices)
    assert found.nodes == pytest.approx(3 * 0.192 * 1e6 / 100 / 3600)
    assert found.blob_writes == pytest.approx(100 * prices.blobs.per_10000_writes)
    assert found.blob_bytes == pytest.approx(30 * prices.blobs.per_gb_month * prices.months_kept)
    assert found.total == pytest.approx(
        found.nodes + found.store_units + found.store_bytes + found.blob_writes + found.blob_bytes
    )


def wish(**more: object) -> Wish:
    return replace(Wish(50.0, 0.25, "Standard_D2s_v5", Task.SPECIES, "small"), **more)


def test_a_plan_says_everything_that_it_rests_on(curves):
    made = curves(cores=2, slow=(1.0, 1.6, 2.4))
    plan = make_plan(wish(sku="Standard_D4s_v5"), made, read_prices(), Setup(cores=4, instances=5), photos=500)
    said = " ".join(plan.assumptions)
    for part in ("Poisson", "request units: assumed", "Prices of", "taken for 2 times", "1 node(s) may be away"):
        assert part in said
    told = plan.as_json()
    assert told["nodes"] == plan.sized.nodes
    assert told["gpu_nodes"] == 0
    assert told["cost_per_million_photos"]["total"] == pytest.approx(plan.cost.total)


def test_curves_of_a_gpu_that_nobody_measured_are_called_that():
    curves = read_curves(ASSUMED_GPU)
    setup = Setup(cores=4, instances=1)
    plan = make_plan(wish(sku="Standard_NC4as_T4_v3"), curves, read_prices(), setup, photos=500)
    assert plan.as_json()["gpu_nodes"] == plan.sized.nodes
    assert any(sentence.startswith("NOT MEASURED") for sentence in plan.assumptions)


def test_a_gpu_machine_is_not_planned_with_a_cpus_curves(curves):
    with pytest.raises(BadInput, match="curves of made are of a cpu"):
        make_plan(wish(sku="Standard_NC4as_T4_v3"), curves(), read_prices(), SETUP)


@pytest.mark.parametrize("more", [{"per_s": 0.0}, {"per_s": float("nan")}, {"p99_s": -1.0}])
def test_nonsense_is_refused(curves, more):
    with pytest.raises(BadInput, match="above 0"):
        make_plan(wish(**more), curves(), read_prices(), SETUP)


def test_what_is_shipped_can_be_read():
    for path in (MEASURED_HERE, ASSUMED_GPU):
        curves = read_curves(path)
        assert {one.task for one in curves.profiles} == set(Task)
    assert read_curves(MEASURED_HERE).measured is not None
    assert read_curves(ASSUMED_GPU).measured is None


def test_a_file_that_holds_no_curves_is_told(tmp_path):
    (tmp_path / "curves.json").write_text('{"name": "x"}')
    with pytest.raises(BadInput, match=r"does not hold curves: .*docs/planning\.md"):
        read_curves(tmp_path / "curves.json")
    with pytest.raises(BadInput, match="cannot be read"):
        read_curves(tmp_path / "none.json")


def test_a_kind_of_photos_that_was_not_measured_is_told(curves):
    with pytest.raises(BadInput, match=r"no full on huge photos; they have species/small"):
        curves().profile(Task.FULL, "huge")


def test_prices_that_are_no_table_are_told(tmp_path):
    (tmp_path / "prices.json").write_text("{}")
    with pytest.raises(BadInput, match="is no table of prices"):
        read_prices(tmp_path / "prices.json")


def test_quantiles_reach_from_the_least_to_the_greatest():
    assert quantiles([5.0, 1.0, 3.0], 3) == (1.0, 3.0, 5.0)
