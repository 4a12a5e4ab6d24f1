"""The SQL that our store sends, and nothing else: what does not parse is refused, so that no query passes here that
was never thought through.

    SELECT [TOP n] VALUE c.path FROM c WHERE c.a op @p [AND ...] [ORDER BY c.a ASC|DESC [, ...]]
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_PATH: Final = r"c(?:\.[a-z]+)+"
_CONDITION: Final = re.compile(rf"({_PATH}) (=|<=|>=|<|>) (@[a-z]+)")
_ORDER: Final = re.compile(rf"({_PATH}) (ASC|DESC)")
_STATEMENT: Final = re.compile(
    rf"SELECT (?:TOP (?P<top>[0-9]+) )?VALUE (?P<value>{_PATH}) FROM c WHERE (?P<where>.+?)"
    r"(?: ORDER BY (?P<order>.+))?"
)
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip


class BadQuery(Exception):
    """What the service answers with 400."""


@dataclass(frozen=True)
class Statement:
    top: int | None
    value: str
    conditions: tuple[tuple[str, str, Any], ...]
    order: tuple[tuple[str, bool], ...]
    """Field and whether it descends."""

    def run(self, documents: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The documents that match, in order, cut to ``top``. A missing field matches nothing, as there."""
        rows = [document for document in documents if self._matches(document)]
        for name, descending in reversed(self.order):
            rows.sort(key=lambda document, name=name: document[name], reverse=descending)  # type: ignore[misc]
        return rows if self.top is None else rows[: self.top]

    def project(self, document: Mapping[str, Any]) -> Any:
        return document[self.value]

    def _matches(self, document: Mapping[str, Any]) -> bool:
        if any(name not in document for name, _ in self.order) or self.value not in document:
            return False
        return all(
            name in document and type(document[name]) is type(value) and _OPERATORS[symbol](document[name], value)
            for name, symbol, value in self.conditions
        )


def parse(text: str, parameters: Sequence[Mapping[str, Any]]) -> Statement:
    """Raises BadQuery for anything but the grammar above, and for parameters that are missing, double or unused."""
    match = _STATEMENT.fullmatch(text)
    if match is None:
        raise BadQuery(f"Syntax error: {text}")
    values = {parameter["name"]: parameter["value"] for parameter in parameters}
    conditions = []
    for part in match["where"].split(" AND "):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise BadQuery(f"Syntax error near: {part}")
        if found[3] not in values:
            raise BadQuery(f"No value for {found[3]}")
        conditions.append((_field(found[1]), found[2], values[found[3]]))
    used = set(re.findall(r"@[a-z]+", text))
    if used != set(values) or len(values) != len(parameters):
        raise BadQuery(f"Parameters {sorted(values)} do not fit {sorted(used)}")
    order = []
    for part in match["order"].split(", ") if match["order"] else ():
        found = _ORDER.fullmatch(part)
        if found is None:
            raise BadQuery(f"Syntax error near: {part}")
        order.append((_field(found[1]), found[2] == "DESC"))
    return Statement(
        int(match["top"]) if match["top"] else None, _field(match["value"]), tuple(conditions), tuple(order)
    )


def check_index(statement: Statement, policy: Mapping[str, Any]) -> None:
    """Raises BadQuery where the service would: an ORDER BY that no index holds. One field needs its own path; several
    need a composite index of exactly these, all in its directions or all in the opposite ones. Stricter than the
    service: a filter without an index, which there costs a scan, is refused too."""
    included = {entry["path"].removeprefix("/").removesuffix("/?") for entry in policy["includedPaths"]}
    missing = {name for name, _, _ in statement.conditions} - included
    if missing:
        raise BadQuery(f"No index holds the filter on {sorted(missing)}")
    if len(statement.order) == 1 and statement.order[0][0] not in included:
        raise BadQuery(f"The index path for {statement.order[0][0]} is excluded")
    if len(statement.order) > 1:
        wanted = [(name, descending) for name, descending in statement.order]
        for composite in policy.get("compositeIndexes", ()):
            kept = [(entry["path"].removeprefix("/"), entry["order"] == "descending") for entry in composite]
            if wanted in (kept, [(name, not descending) for name, descending in kept]):
                return
        raise BadQuery("The order by query does not have a corresponding composite index that it can be served from.")


def _field(path: str) -> str:
    name = path.removeprefix("c.")
    if "." in name:
        raise BadQuery(f"Only fields of the document itself are known here: {path}")
    return name
