"""The one file of objectives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from contract.slo import (
    AVAILABILITY,
    LATENCY,
    Objective,
    Ratio,
    Selector,
    SloError,
    Threshold,
    read_objectives,
    read_selector,
    read_slo,
)
from gateway.metrics import LATENCY_BUCKETS_S, Metrics
from gateway.settings import Settings
from tests.support.stack import ROOT

FILE = ROOT / "deploy" / "slo" / "bestiary.yaml"


def test_the_objectives_are_those_that_are_promised() -> None:
    slo = read_slo(FILE)
    assert (slo.latency_s, slo.latency_share, slo.availability) == (0.25, 0.99, 0.999)
    assert slo.latency_s in LATENCY_BUCKETS_S, "or the histogram could not say whether it holds"
    assert Settings().slo_file == FILE


def test_it_is_openslo_in_yaml_with_what_every_object_needs() -> None:
    documents = list(yaml.safe_load_all(FILE.read_text()))
    assert [document["kind"] for document in documents] == ["Service", "SLO", "SLO"]
    assert {document["apiVersion"] for document in documents} == {"openslo/v1"}
    slos = {document["metadata"]["name"]: document["spec"] for document in documents[1:]}
    assert set(slos) == {LATENCY, AVAILABILITY}
    for spec in slos.values():
        assert spec["service"] == documents[0]["metadata"]["name"]
        assert {"description", "indicator", "timeWindow", "budgetingMethod", "objectives"} <= set(spec)


def test_its_queries_name_metrics_that_exist() -> None:
    exposed = {sample for family in Metrics().registry.collect() for sample in (family.name, f"{family.name}_total")}
    assert set(re.findall(r"bestiary_\w+", FILE.read_text())) <= exposed


@pytest.mark.parametrize(
    ("old", "new"),
    [('"value": 0.25', '"value": -1'), ("interactive-latency", "other"), ('"lte"', '"gte"'), ("{", "", ), ("v1", "v2")],
)  # fmt: skip
def test_another_content_is_refused(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(FILE.read_text().replace(old, new))
    with pytest.raises(SloError):
        read_slo(file)


def test_every_objective_is_read_with_its_query() -> None:
    latency, answered = read_objectives(FILE)
    assert (latency.slo, latency.target, latency.name) == (LATENCY, 0.99, "p99")
    assert isinstance(latency.indicator, Threshold)
    assert latency.indicator.good(0.25)
    assert not latency.indicator.good(0.2501)
    assert latency.indicator.selector.selects({"priority": "interactive", "task": "species"})
    assert not latency.indicator.selector.selects({"priority": "batch", "task": "species"})
    assert (answered.slo, answered.target) == (AVAILABILITY, 0.999)
    assert isinstance(answered.indicator, Ratio)
    assert answered.indicator.part.selects({"outcome": "overloaded"})
    assert not answered.indicator.part.selects({"outcome": "model_failed"})
    assert answered.indicator.total == Selector("bestiary_photos_total")


def test_a_selector_matches_as_promql_does() -> None:
    selector = read_selector('m{a="x", b!="y",c=~"p|q.*", d!~"z"}')
    assert selector.metric == "m"
    assert selector.selects({"a": "x", "c": "quick", "d": "zz"}), "patterns match whole, absent labels are empty"
    for wrong in ({"a": "y"}, {"b": "y"}, {"c": "pq"}, {"d": "z"}):
        assert not selector.selects({"a": "x", "c": "p"} | wrong)
    assert read_selector('m{a="say \\"}\\""}').matchers == (("a", "=", 'say "}"'),)


@pytest.mark.parametrize("text", ["", "rate(m[5m])", "m{", 'm{a="b"', "m{a=b}", 'm{a=~"("}', 'm{a="b"} > 1', "m + n"])
def test_other_promql_is_refused(text: str) -> None:
    with pytest.raises(SloError):
        read_selector(text)


def test_more_objectives_bad_events_and_percentages_are_read(tmp_path: Path) -> None:
    documents = FILE.read_text().split("---")
    ratio = documents[2].replace('"good"', '"bad"').replace('"target": 0.999', '"targetPercent": 99.5')
    both = documents[1].replace("0.99}]", '0.99}, {"op": "lt", "value": 0.1, "target": 0.5}]')
    file = tmp_path / "slo.yaml"
    file.write_text("---".join((documents[0], both, ratio)))
    found: tuple[Objective, ...] = read_objectives(file)
    assert [objective.target for objective in found] == pytest.approx([0.99, 0.5, 0.995])
    assert found[1].name == "An admitted photo is answered at once"
    assert isinstance(found[2].indicator, Ratio)
    assert not found[2].indicator.part_is_good


@pytest.mark.parametrize(
    ("old", "new"),
    [('"lte"', '"about"'), ('"target": 0.99}', '"target": 1.5}'), ("thresholdMetric", "rawMetric"), ("v1", "v2"),
     ('"kind": "SLO"', '"kind": "Service"'), ("bestiary_photo_latency_seconds{", "sum(x{"), ("{", "", )],
)  # fmt: skip
def test_objectives_that_cannot_be_read_are_told_with_the_file(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(FILE.read_text().replace(old, new))
    with pytest.raises(SloError, match=re.escape(str(file))):
        read_objectives(file)
