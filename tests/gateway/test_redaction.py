"""What may never stand in a log, as a table of lines; and what may."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from gateway.audit import LOGGER, audit, open_audit_log
from gateway.redaction import RedactingFilter, redact

SECRET = "c2VjcmV0LWtleS1vZi0zMi1ieXRlcw=="
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJhbm5hIn0.c2lnbmF0dXJl-_x"
KEY = "bestiary_0123456789ab_" + "Ab-_" * 10 + "xyz"


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {JWT}",
        f"authorization=Bearer {SECRET}",
        f"{{'authorization': 'Bearer {SECRET}', 'accept': '*/*'}}",
        f"[(b'authorization', b'ApiKey {SECRET}')]",
        f'{{"Authorization": "{SECRET}"}}',
        f"token {JWT} was refused",
        f"Bearer {SECRET}",
        f"X-API-Key: {SECRET}",
        f"'x-api-key': '{SECRET}'",
        f"BESTIARY_API_KEY={SECRET}",
        f"key {KEY} is not known",
        f"https://store.blob.core.windows.net/uploads/x.jpg?sv=2024-11-04&sig={SECRET}&se=2026",
        f"SharedAccessSignature=sv=2024&sig={SECRET}",
        f"DefaultEndpointsProtocol=https;AccountName=bestiary;AccountKey={SECRET};EndpointSuffix=core.windows.net",
        f"AccountEndpoint=https://x.documents.azure.com:443/;AccountKey={SECRET};",
        f"Endpoint=sb://x;SharedAccessKeyName=root;SharedAccessKey={SECRET}",
        f"account_key='{SECRET}'",
        f"client_secret={SECRET}&grant_type=client_credentials",
        f"postgres://user:{SECRET}@host/db",
        f"pepper={SECRET}",
        f'{{"password": "{SECRET}"}}',
    ],
)
def test_a_secret_is_masked(line: str) -> None:
    masked = redact(line)
    for secret in (SECRET, JWT, KEY[-43:], JWT.split(".")[1]):
        assert secret not in masked
    assert "***" in masked
    assert redact(masked) == masked


@pytest.mark.parametrize(
    "line",
    [
        "POST /v1/classifications: truncated (unexpected end of file)",
        "serving release 1@0123456789ab on http 8080 and grpc 8081",
        "record 019a2f6e-5c1b-7d3e-8f00-0123456789ab was accepted and could not be kept: disk full",
        "signing keys could not be fetched from https://login.microsoftonline.com/common/discovery/v2.0/keys: timeout",
        "AccountName=bestiary; BlobEndpoint=https://bestiary.blob.core.windows.net",
        "API keys were read again: 3",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redact(line) == line


def test_the_id_of_a_key_stays() -> None:
    assert redact(f"key {KEY}") == "key bestiary_0123456789ab_***"


def test_the_filter_masks_arguments_and_tracebacks() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    log = logging.getLogger("test.redaction")
    log.addHandler(handler)
    log.propagate = False
    try:
        log.error("sent %s to %s", {"authorization": f"Bearer {SECRET}"}, f"https://x/?sig={SECRET}")
        try:
            raise ValueError(f"AccountKey={SECRET};")
        except ValueError:
            log.exception("it failed")
    finally:
        log.removeHandler(handler)
    text = stream.getvalue()
    assert SECRET not in text
    assert "Traceback" in text
    assert text.count("***") >= 3


def test_an_audit_line_is_one_json_object(tmp_path: Path) -> None:
    handler = open_audit_log(tmp_path / "audit.jsonl")
    try:
        audit("park/anna", "record.read", "park/bert 1\n2", outcome="ok")
    finally:
        LOGGER.removeHandler(handler)
        handler.close()
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    said = json.loads(line)
    assert said.pop("at").endswith("+00:00")
    assert said == {"who": "park/anna", "action": "record.read", "target": "park/bert 1\n2", "outcome": "ok"}
