from __future__ import annotations

import json

import pytest

from contract.options import Task
from planning.curves import Cell, Curves, Profile

SKU = "Standard_D2s_v5"


@pytest.fixture
def curves(tmp_path):
    """A machine that takes 50 ms for a photo and has no other costs: quick to simulate."""
    cells = tuple(
        Cell(batch=batch, busy=busy, ms=50 * batch * factor)
        for batch in (1, 2, 4)
        for busy, factor in ((1, 1.0), (2, 1.5), (3, 2.3))
    )
    profile = Profile(
        task=Task.SPECIES, photos="small", photo_bytes=30_000, service=cells, edge_loop_ms=1, edge_threads_ms=0.5,
        triton_ms=0.5, client_ms=0, rest_ms=0,
    )  # fmt: skip
    made = Curves(
        name="made", measured="2026-11-23", note="For a test.", processor="made", cores=2, physical_cores=1,
        fsync_ms=(1.0, 2.0), profiles=(profile,),
    )  # fmt: skip
    path = tmp_path / "curves.json"
    path.write_text(made.model_dump_json())
    return path


def test_a_plan_tells_nodes_units_costs_and_assumptions(bestiary, curves):
    done = bestiary("plan", "--rps", 40, "--sku", SKU, "--curves", curves)
    assert done.returncode == 0, done.stderr
    for part in ("nodes", "1 of them spare", "request units", "a million photos", "It takes for granted:", "Poisson"):
        assert part in done.stdout
    assert "Curves of made" in done.stdout


@pytest.mark.long
def test_json_has_the_same_figures(bestiary, curves):
    told = json.loads(bestiary("plan", "--rps", 40, "--sku", SKU, "--curves", curves, "--json").stdout)
    assert told["asked"] == {
        "photos_per_s": 40.0, "p99_ms": 250.0, "sku": SKU, "task": "species", "photos": "small", "spare_nodes": 1,
    }  # fmt: skip
    # two halves of a core carry 2 / 1.5 of one that takes 20 photos/s, and half of that or more within 250 ms
    assert 10 < told["predicted"]["max_per_node_per_s"] < 27
    assert told["nodes"] in (3, 4, 5)
    assert told["predicted"]["p99_ms"] <= 250
    assert told["gpu_nodes"] == 0
    assert told["assumptions"]


def test_an_unknown_size_is_exit_2_and_the_known_ones_are_told(bestiary, curves):
    done = bestiary("plan", "--rps", 40, "--sku", "Standard_X1", "--curves", curves)
    assert done.returncode == 2
    assert f"Standard_X1 is not in the table of prices, which has Standard_D16s_v5, {SKU}"[:60] in done.stderr


def test_a_p99_that_no_number_of_nodes_meets_is_exit_1(bestiary, curves):
    done = bestiary("plan", "--rps", 40, "--sku", SKU, "--p99", 20, "--curves", curves)
    assert done.returncode == 1
    assert "cannot be met with any number of nodes" in done.stderr


@pytest.mark.parametrize("more", [("--task", "full"), ("--photos", "huge"), ("--rps", "0"), ("--rps", "nan")])
def test_what_was_not_measured_and_nonsense_are_exit_2(bestiary, curves, more):
    done = bestiary("plan", "--rps", 40, "--sku", SKU, "--curves", curves, *more)
    assert done.returncode == 2
    assert done.stderr


def test_files_that_cannot_be_read_are_exit_2(bestiary, curves, tmp_path):
    for option in ("--curves", "--prices", "--slo"):
        done = bestiary("plan", "--rps", 40, "--sku", SKU, "--curves", curves, option, tmp_path / "none.json")
        assert done.returncode == 2, option
        assert "none.json" in done.stderr


@pytest.mark.long
def test_own_prices_take_the_place_of_the_shipped_ones(bestiary, curves, tmp_path):
    from planning.prices import SHIPPED

    table = json.loads(SHIPPED.read_text())
    table["skus"] = {"shed": {"cores": 2, "physical_cores": 1, "gpu": None, "per_hour": 36.0}}
    table["currency"] = "EUR"
    (tmp_path / "prices.json").write_text(json.dumps(table))
    asked = ("--sku", "shed", "--spare", 0, "--prices", tmp_path / "prices.json")
    told = json.loads(bestiary("plan", "--rps", 10, *asked, "--curves", curves, "--json").stdout)
    assert told["cost_per_million_photos"]["currency"] == "EUR"
    assert told["cost_per_million_photos"]["nodes"] == pytest.approx(1000)  # 1e6 photos are 1e5 s at 1 cent a second
