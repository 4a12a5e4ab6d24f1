"""What the Cosmos DB fake keeps: containers, their documents, partitions, TTL and batches. No HTTP."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from azure.cosmos import PartitionKey

from tests.support import cosmos_sql

MAX_ITEM_BYTES: Final = 2 * 1024 * 1024
Document = dict[str, Any]
Key = tuple[tuple[str, ...], str]

_SERIAL = itertools.count(1)


class Refused(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, message: str, sub_status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.sub_status = sub_status


@dataclass
class Reply:
    """An answer below 400. ``charge`` is the fake's own model: request units by bytes and documents looked at."""

    status: int
    body: Any
    charge: float
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Container:
    """One container. ``now`` gives seconds since 1970; ``refuse`` says which documents are answered with 400."""

    properties: dict[str, Any]
    now: Callable[[], float]
    documents: dict[Key, Document] = field(default_factory=dict)
    boundaries: list[str] = field(default_factory=list)
    """Where the physical partitions are split, effective partition keys in order."""
    refuse: Callable[[Document], bool] = lambda _document: False
    lsn: int = 1

    @property
    def paths(self) -> list[str]:
        return [path.removeprefix("/") for path in self.properties["partitionKey"]["paths"]]

    def ranges(self) -> list[dict[str, str]]:
        edges = ["", *self.boundaries, "FF"]
        return [
            {"id": str(n), "minInclusive": low, "maxExclusive": high, "_rid": f"r{n}"}
            for n, (low, high) in enumerate(itertools.pairwise(edges))
        ]

    def effective(self, values: Sequence[str]) -> str:
        """Where a (full or begun) key lies. The hash is the SDK's, as client and service must agree on it."""
        paths = self.properties["partitionKey"]["paths"]
        key = PartitionKey(path=paths, kind="MultiHash") if len(paths) > 1 else PartitionKey(path=paths[0])
        return str(key._get_effective_partition_key_string(list(values)))

    def key_of(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        if not all(isinstance(document.get(path), str) for path in self.paths):
            raise Refused(400, f"The document needs strings at {self.paths}", 1001)
        return tuple(document[path] for path in self.paths)

    def upsert(self, partition: tuple[str, ...], document: Any, if_match: str | None = None) -> Reply:
        """Create or replace. 201 or 200."""
        self._check(partition, document)
        known = self.find(partition, document["id"])
        if known is not None:
            self._match(known, if_match)
        return self._put(partition, document, 200 if known is not None else 201)

    def create(self, partition: tuple[str, ...], document: Any) -> Reply:
        self._check(partition, document)
        if self.find(partition, document["id"]) is not None:
            raise Refused(409, "Entity with the specified id already exists in the system.")
        return self._put(partition, document, 201)

    def replace(self, partition: tuple[str, ...], id_: str, document: Any, if_match: str | None) -> Reply:
        self._check(partition, document)
        if document["id"] != id_:
            raise Refused(400, "The id in the body is not the one in the address.")
        self._match(self.read_document(partition, id_), if_match)
        return self._put(partition, document, 200)

    def delete(self, partition: tuple[str, ...], id_: str, if_match: str | None) -> Reply:
        self._match(self.read_document(partition, id_), if_match)
        del self.documents[partition, id_]
        self.lsn += 1
        return Reply(204, None, 5.0)

    def read(self, partition: tuple[str, ...], id_: str) -> Reply:
        document = self.read_document(partition, id_)
        return Reply(200, document, max(1.0, round(_size(document) / 1024, 2)), {"etag": document["_etag"]})

    def read_document(self, partition: tuple[str, ...], id_: str) -> Document:
        document = self.find(partition, id_)
        if document is None:
            raise Refused(404, "Entity with the specified id does not exist in the system.", 0)
        return document

    def find(self, partition: tuple[str, ...], id_: str) -> Document | None:
        """The document unless its time is over."""
        if len(partition) != len(self.paths):
            raise Refused(400, "The partition key in the header is not the document's, or not a whole one.", 1001)
        document = self.documents.get((partition, id_))
        if document is not None and self._expired(document):
            del self.documents[partition, id_]
            return None
        return document

    def batch(self, partition: tuple[str, ...], operations: Any) -> Reply:
        """All or nothing, for one partition."""
        if not isinstance(operations, list) or not 1 <= len(operations) <= 100:
            raise Refused(400, "A transactional batch has 1 to 100 operations.")
        before = copy.copy(self.documents)
        replies: list[Reply] = []
        for n, operation in enumerate(operations):
            try:
                replies.append(self._operate(partition, operation))
            except Refused as refusal:
                self.documents = before
                statuses = [424] * len(operations)
                statuses[n] = refusal.status
                body = [{"statusCode": status, "requestCharge": 0.0, "eTag": None} for status in statuses]
                return Reply(207, body, 1.0)
        body = [
            {"statusCode": reply.status, "requestCharge": reply.charge, "eTag": reply.headers.get("etag")}
            for reply in replies
        ]
        return Reply(200, body, sum(reply.charge for reply in replies))

    def query(self, body: Mapping[str, Any], lies: Callable[[Key], bool], page: int | None, token: str | None) -> Reply:
        """One page of a query over the documents that ``lies`` lets through."""
        try:
            statement = cosmos_sql.parse(body["query"], body.get("parameters", ()))
            cosmos_sql.check_index(statement, self.properties["indexingPolicy"])
        except cosmos_sql.BadQuery as error:
            raise Refused(400, str(error)) from error
        live = [doc for key, doc in list(self.documents.items()) if lies(key) and not self._expired(doc)]
        rows = statement.run(live)
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        begin = _resume(token, digest) if token else 0
        end = len(rows) if page is None else begin + page
        content = [statement.project(row) for row in rows[begin:end]]
        headers = {}
        if end < len(rows):
            headers["x-ms-continuation"] = base64.b64encode(json.dumps([digest, end]).encode()).decode()
        charge = round(2.3 + 0.03 * len(content) + len(json.dumps(content)) / 20_000, 2)
        return Reply(200, {"_rid": "c", "Documents": content, "_count": len(content)}, charge, headers)

    def _operate(self, partition: tuple[str, ...], operation: Mapping[str, Any]) -> Reply:
        match operation["operationType"]:
            case "Upsert":
                return self.upsert(partition, operation["resourceBody"], operation.get("ifMatch"))
            case "Create":
                return self.create(partition, operation["resourceBody"])
            case "Replace":
                return self.replace(partition, operation["id"], operation["resourceBody"], operation.get("ifMatch"))
            case "Delete":
                return self.delete(partition, operation["id"], operation.get("ifMatch"))
            case "Read":
                return self.read(partition, operation["id"])
            case other:
                raise Refused(400, f"Unknown operation {other}")

    def _check(self, partition: tuple[str, ...], document: Any) -> None:
        if not isinstance(document, dict) or not isinstance(document.get("id"), str) or not document["id"]:
            raise Refused(400, "The document needs an id that is a string.")
        if any(character in document["id"] for character in "/\\?#"):
            raise Refused(400, "The id has a character that an id may not have.")
        if self.key_of(document) != partition:
            raise Refused(400, "The partition key in the header is not the document's, or not a whole one.", 1001)
        if _size(document) > MAX_ITEM_BYTES:
            raise Refused(413, "Request size is too large")
        ttl = document.get("ttl")
        if ttl is not None and (not isinstance(ttl, int) or (ttl < 1 and ttl != -1)):
            raise Refused(400, "The ttl is neither -1 nor positive.")
        if self.refuse(document):
            raise Refused(400, "One of the specified inputs is invalid")

    def _match(self, known: Document, if_match: str | None) -> None:
        if if_match is not None and if_match not in ("*", known["_etag"]):
            raise Refused(412, "Operation cannot be performed because one of the specified precondition is not met.")

    def _put(self, partition: tuple[str, ...], document: Document, status: int) -> Reply:
        self.lsn += 1
        etag = f'"{next(_SERIAL):08x}"'
        self.documents[partition, document["id"]] = {**document, "_etag": etag, "_ts": int(self.now())}
        charge = round(5.0 + _size(document) / 1024 * 4 + (2.0 if status == 200 else 0.0), 2)
        return Reply(status, self.documents[partition, document["id"]], charge, {"etag": etag})

    def _expired(self, document: Document) -> bool:
        default = self.properties.get("defaultTtl")
        if default is None:
            return False  # without it the items' own values count for nothing
        ttl = document.get("ttl", default)
        return bool(ttl != -1 and document["_ts"] + ttl <= self.now())


def _size(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document))


def _resume(token: str, digest: str) -> int:
    try:
        whose, begin = json.loads(base64.b64decode(token, validate=True))
    except ValueError as error:
        raise Refused(400, "Invalid Continuation Token") from error
    if whose != digest:
        raise Refused(400, "The continuation token is of another query.")
    return int(begin)
