"""The service level objectives, read from the one OpenSLO file (https://openslo.com, apiVersion ``openslo/v1``).

The file is YAML in JSON notation (YAML 1.2 is a superset of JSON), documents parted by lines of ``---``, so that the
gateway needs no YAML parser.

``read_slo`` gives the two objectives that admission needs; ``read_objectives`` gives every objective of the file, with
the selectors of its queries, so that whoever has samples of their own (a load test) can judge each of them.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

LATENCY: Final = "interactive-latency"
AVAILABILITY: Final = "answered"
"""``metadata.name`` of the objectives."""


class SloError(ValueError):
    """The file is not what is read here; the message says where."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised."""

    latency_s: float
    """An admitted interactive photo is answered within so many seconds ..."""
    latency_share: float
    """... in this share of cases: 0.99 makes ``latency_s`` a p99."""
    availability: float
    """Share of photos that are not failed by the service itself."""


OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {"lte": operator.le, "lt": operator.lt, "gte": operator.ge, "gt": operator.gt}
)
"""``op`` of an objective with a threshold."""

_MATCHER: Final = re.compile(r'\s*([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*')


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector of PromQL: a metric and matchers ``(label, one of = != =~ !~, value)``."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with ``labels`` is meant; a label that is not there is empty, a pattern must match whole
        (as PromQL has both)."""
        return all(_matches(labels.get(label, ""), sign, value) for label, sign, value in self.matchers)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Events whose value (of ``selector``) is ``op`` ``value`` are good."""

    selector: Selector
    op: str
    value: float

    def good(self, measured: float) -> bool:
        """Whether one measured value keeps it."""
        return OPERATORS[self.op](measured, self.value)


@dataclass(frozen=True, slots=True)
class Ratio:
    """``part`` over ``total`` counts good events, or bad ones."""

    part: Selector
    total: Selector
    part_is_good: bool = True


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: the share ``target`` of all events is good by ``indicator``."""

    slo: str
    """``metadata.name`` of its document."""
    name: str
    """``displayName`` of the objective, else of the document."""
    description: str
    target: float
    indicator: Threshold | Ratio


def read_selector(text: str) -> Selector:
    """A selector such as ``photos_total{outcome!="ok"}``. Raises SloError for any other PromQL."""
    metric, brace, rest = text.strip().partition("{")
    if not re.fullmatch(r"[A-Za-z_:][\w:]*", metric.strip()) or (brace and not rest.endswith("}")):
        raise SloError(f"{text!r} is not a metric with label matchers, which is all that is read here.")
    matchers: list[tuple[str, str, str]] = []
    at, rest = 0, rest.removesuffix("}").strip()
    while at < len(rest):
        found = _MATCHER.match(rest, at)
        if found is None:
            raise SloError(f"{text!r}: {rest[at:]!r} is not a label matcher.")
        label, sign, quoted = found.groups()
        matchers.append((label, sign, _value(text, sign, quoted)))
        at = found.end() + (rest[found.end() : found.end() + 1] == ",")
    return Selector(metric.strip(), tuple(matchers))


def read_objectives(path: Path) -> tuple[Objective, ...]:
    """Every objective of every SLO in an OpenSLO file, in its order. Raises SloError, OSError."""
    try:
        found = [
            _read_objective(document, objective)
            for document in _documents(path)
            if document["kind"] == "SLO"
            for objective in document["spec"]["objectives"]
        ]
    except SloError as error:
        raise SloError(f"{path}: {error}") from error
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SloError(
            f"{path} is not OpenSLO v1 in JSON notation ({error!r}): see deploy/slo/bestiary.yaml."
        ) from error
    if not found:
        raise SloError(f"{path} holds no objective: a document of kind SLO is needed.")
    return tuple(found)


def read_slo(path: Path) -> Slo:
    """The objectives in an OpenSLO file. Raises SloError for another content, OSError."""
    try:
        documents = _documents(path)
        objectives = {item["metadata"]["name"]: _objective(item) for item in documents if item["kind"] == "SLO"}
        latency, available = objectives[LATENCY], objectives[AVAILABILITY]
        slo = Slo(float(latency["value"]), float(latency["target"]), float(available["target"]))
        if latency["op"] != "lte":
            raise SloError(f"{path}: the objective of {LATENCY} must have the op lte.")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, SloError):
            raise
        raise SloError(
            f"{path} does not hold the objectives {LATENCY} and {AVAILABILITY} of OpenSLO v1 in JSON notation: "
            "compare it with deploy/slo/bestiary.yaml of this version."
        ) from error
    if not (slo.latency_s > 0 and 0 < slo.latency_share < 1 and 0 < slo.availability < 1):
        raise SloError(f"{path}: the latency must be positive seconds, both targets shares between 0 and 1.")
    return slo


def _objective(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["apiVersion"] != "openslo/v1":
        raise SloError(f"{document['metadata']['name']} is not of apiVersion openslo/v1.")
    objective: Mapping[str, Any] = document["spec"]["objectives"][0]
    return objective


def _documents(path: Path) -> list[Any]:
    return [json.loads(part) for part in re.split(r"(?m)^---\s*$", path.read_text("utf-8")) if part.strip()]


def _value(text: str, sign: str, quoted: str) -> str:
    value = str(json.loads(quoted))
    try:
        re.compile(value if "~" in sign else "")
    except re.error as error:
        raise SloError(f"{text!r}: {value!r} is no pattern: {error}.") from error
    return value


def _matches(given: str, sign: str, value: str) -> bool:
    equal = re.fullmatch(value, given) is not None if sign in ("=~", "!~") else given == value
    return equal is not sign.startswith("!")


def _read_objective(document: Mapping[str, Any], objective: Mapping[str, Any]) -> Objective:
    slo, spec = str(document["metadata"]["name"]), document["spec"]
    if document["apiVersion"] != "openslo/v1":
        raise SloError(f"{slo} is not of apiVersion openslo/v1.")
    target = float(objective["target"] if "target" in objective else objective["targetPercent"] / 100)
    if not 0 < target < 1:
        raise SloError(f"the target of {slo} must be a share between 0 and 1.")
    name = str(objective.get("displayName") or document["metadata"].get("displayName") or slo)
    indicator = _read_indicator(slo, spec["indicator"]["spec"], objective)
    return Objective(slo, name, str(spec.get("description", "")), target, indicator)


def _read_indicator(slo: str, spec: Mapping[str, Any], objective: Mapping[str, Any]) -> Threshold | Ratio:
    if "thresholdMetric" in spec:
        if objective["op"] not in OPERATORS:
            raise SloError(f"the op of {slo} must be one of {', '.join(OPERATORS)}.")
        return Threshold(_selector_of(spec["thresholdMetric"]), objective["op"], float(objective["value"]))
    ratio = spec["ratioMetric"]
    part = ratio["good"] if "good" in ratio else ratio["bad"]
    return Ratio(_selector_of(part), _selector_of(ratio["total"]), "good" in ratio)


def _selector_of(metric: Mapping[str, Any]) -> Selector:
    return read_selector(metric["metricSource"]["spec"]["query"])
