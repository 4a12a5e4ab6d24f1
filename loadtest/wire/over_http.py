"""REST and KServe v2 over HTTP/1.1 under gevent, on kept connections; as many as there are photos under way."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from contract.tensors import ANIMALS, PHOTO, TIMINGS_MS
from loadtest.plan import MAX_OPEN, Plan, Protocol, authorities, credentials
from loadtest.wire.over_grpc import KSERVE_OUTPUTS, SERIAL_BYTES, SERVER_TIMING, read_timings
from loadtest.wire.reply import CONNECTION, OK, STRANGE, TIMEOUT, Reply, server_timing

GRACE_S: Final = 1.0
"""Waited on top of the deadline, so that the service's own word on it arrives."""

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
"""Length of the JSON in front of binary tensors (Triton's binary tensor data extension)."""

JSON_BYTES: Final = 1024

_REFUSED_FROM: Final = 400


class HttpSender:
    """Posts bodies that are ready to one path."""

    def __init__(self, plan: Plan, path: str, headers: Mapping[str, str]) -> None:
        target = plan.targets.of(Protocol.HTTP)
        self._path = path
        trusted = authorities()
        self._headers = {**headers, **credentials()}
        self._client = HTTPClient(
            target.host,
            target.port,
            ssl=target.tls,
            ssl_options={"ca_certs": str(trusted)} if trusted and target.tls else None,
            concurrency=MAX_OPEN,
            connection_timeout=plan.timeout_s,
            network_timeout=plan.timeout_s + GRACE_S,
        )

    def send(self, request: bytes) -> Reply:
        """As :class:`loadtest.wire.reply.Sender`."""
        try:
            response = self._client.request("POST", self._path, request, self._headers)
            body = bytes(response.read())
        except TimeoutError:
            return Reply(TIMEOUT)
        except (OSError, HTTPParseError):
            return Reply(CONNECTION)
        try:
            if response.status_code >= _REFUSED_FROM:
                return Reply(_reason(response.status_code, body))
            stages = dict(self.stages(response, body))
        except (ValueError, KeyError, TypeError, struct.error):
            return Reply(STRANGE)
        if timing := response.get(SERVER_TIMING):
            stages |= server_timing(str(timing))
        return Reply(OK, stages)

    def stages(self, response: Any, body: bytes) -> Mapping[str, float]:
        """Milliseconds by stage in an answer. Raises ValueError, KeyError, TypeError, struct.error."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class RestSender(HttpSender):
    """``POST /v1/classifications``."""

    def __init__(self, plan: Plan) -> None:
        query = urlencode({"tasks": plan.tasks.value, "priority": plan.priority.value})
        headers = {
            "Content-Type": "application/octet-stream",
            "Bestiary-Timeout-Ms": str(math.ceil(1e3 * plan.timeout_s)),
        }
        super().__init__(plan, f"/v1/classifications?{query}", headers)

    def prepare(self, photo: bytes) -> bytes:
        """The photo is the body."""
        return photo

    def stages(self, response: Any, body: bytes) -> Mapping[str, float]:
        """Whatever the record's ``timings_ms`` has."""
        return {name: float(value) for name, value in json.loads(body)["timings_ms"].items() if value is not None}


class KServeHttpSender(HttpSender):
    """``POST /v2/models/animals/infer`` with binary tensors both ways."""

    def __init__(self, plan: Plan) -> None:
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(JSON_BYTES)}
        super().__init__(plan, f"/v2/models/{ANIMALS}/infer", headers)
        self._request: dict[str, Any] = {
            "inputs": [{"name": PHOTO.name, "datatype": PHOTO.datatype, "shape": [1, 1]}],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in KSERVE_OUTPUTS],
            "parameters": {
                "tasks": plan.tasks.value,
                "priority": plan.priority.level,
                "timeout": round(1e6 * plan.timeout_s),  # microseconds
            },
        }

    def prepare(self, photo: bytes) -> bytes:
        """The JSON, with spaces to one length for all photos, then the photo as a BYTES element with its length."""
        size = len(photo) + (SERIAL_BYTES if photo else 0)
        tensor = self._request["inputs"][0] | {"parameters": {"binary_data_size": 4 + size}}
        text = json.dumps(self._request | {"inputs": [tensor]}).encode()
        return text.ljust(JSON_BYTES) + struct.pack("<I", size) + photo

    def stages(self, response: Any, body: bytes) -> Mapping[str, float]:
        """The tensor of timings."""
        length = int(response.get(HEADER_LENGTH) or len(body))
        at = length
        for output in json.loads(body[:length])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            if output["name"] == TIMINGS_MS.name:
                return read_timings(body[at : at + size])
            at += size
        return {}


def _reason(status: int, body: bytes) -> str:
    """The code of a problem (RFC 9457), else the status."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return f"http_{status}"
