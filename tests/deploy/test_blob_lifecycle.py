"""The lifecycle policy has the shape that Azure takes, names our containers and never loses a photo.

Shape: learn.microsoft.com, "Azure Blob Storage lifecycle management policy structure".
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.blob_names import CONTAINERS, UPLOADS
from tests.support.stack import ROOT

POLICY: dict[str, Any] = json.loads((ROOT / "deploy" / "azure" / "blob-lifecycle.json").read_text())
RULES: list[dict[str, Any]] = POLICY["rules"]

ACTIONS = {
    "baseBlob": {"tierToCool", "tierToCold", "tierToArchive", "delete"},
    "snapshot": {"tierToCool", "tierToCold", "tierToArchive", "delete"},
    "version": {"tierToCool", "tierToCold", "tierToArchive", "delete"},
}
CONDITION = {
    "baseBlob": "daysAfterModificationGreaterThan",
    "snapshot": "daysAfterCreationGreaterThan",
    "version": "daysAfterCreationGreaterThan",
}
by_name = pytest.mark.parametrize("rule", RULES, ids=[rule["name"] for rule in RULES])


def days(rule: dict[str, Any], action: str) -> int | None:
    done = rule["definition"]["actions"].get("baseBlob", {}).get(action)
    return None if done is None else int(done["daysAfterModificationGreaterThan"])


def test_the_policy_is_rules_with_names_of_their_own() -> None:
    assert set(POLICY) == {"rules"}
    assert 1 <= len(RULES) <= 100
    names = [rule["name"] for rule in RULES]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,256}", name) for name in names)


@by_name
def test_a_rule_has_the_shape_that_azure_takes(rule: dict[str, Any]) -> None:
    assert set(rule) == {"name", "enabled", "type", "definition"}
    assert (rule["enabled"], rule["type"]) == (True, "Lifecycle")
    assert set(rule["definition"]) == {"filters", "actions"}
    filters, actions = rule["definition"]["filters"], rule["definition"]["actions"]
    assert set(filters) == {"blobTypes", "prefixMatch"}
    assert filters["blobTypes"] == ["blockBlob"]
    assert 1 <= len(filters["prefixMatch"]) <= 10
    assert actions
    for target, done in actions.items():
        assert done
        assert set(done) <= ACTIONS[target]
        for conditions in done.values():
            assert set(conditions) == {CONDITION[target]}
            assert isinstance(conditions[CONDITION[target]], int)
            assert conditions[CONDITION[target]] >= 1


@by_name
def test_a_rule_is_about_whole_containers_of_ours(rule: dict[str, Any]) -> None:
    for prefix in rule["definition"]["filters"]["prefixMatch"]:
        assert prefix.removesuffix("/") in CONTAINERS
        assert prefix.endswith("/"), "a bare name would match other containers that begin with it"


def test_every_container_is_covered() -> None:
    covered = {prefix.rstrip("/") for rule in RULES for prefix in rule["definition"]["filters"]["prefixMatch"]}
    assert covered == set(CONTAINERS)


def test_photos_and_models_are_never_deleted_and_stay_readable_at_once() -> None:
    kept = {f"{UPLOADS}/", "datasets/", "models/"}
    for rule in RULES:
        if kept & set(rule["definition"]["filters"]["prefixMatch"]):
            assert days(rule, "delete") is None
            assert days(rule, "tierToArchive") is None


def test_uploads_are_cool_after_a_month_and_thumbnails_expire() -> None:
    first = {prefix: rule for rule in reversed(RULES) for prefix in rule["definition"]["filters"]["prefixMatch"]}
    assert days(first["uploads/"], "tierToCool") == 30
    cold = days(first["uploads/"], "tierToCold")
    assert cold is not None
    assert cold > 30 + 30, "a cool blob that moves within 30 days costs a fee"
    assert days(first["processed/"], "delete") == 90
