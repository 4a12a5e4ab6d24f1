"""The one file of objectives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from contract.slo import AVAILABILITY, LATENCY, SloError, read_slo
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
