"""``bestiary keys``, and the credentials of the other commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit import LOGGER
from gateway.auth.key_ring import read_ring, split_key


@pytest.fixture
def keys(bestiary, tmp_path, environment):
    environment["BESTIARY_API_KEYS_FILE"] = str(tmp_path / "keys.json")
    environment["BESTIARY_AUDIT_FILE"] = str(tmp_path / "audit.jsonl")
    environment["BESTIARY_API_KEY_PEPPER"] = "pepper"
    yield lambda *arguments: bestiary("keys", *arguments)
    LOGGER.handlers.clear()


def audited(tmp_path):
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def test_a_key_is_printed_once_and_kept_as_a_digest(keys, tmp_path):
    done = keys("create", "camera-7", "--scope", "classify", "--scope", "read", "--expires", "90d")
    assert done.returncode == 0, done.stderr
    key_id, secret = split_key(done.stdout.strip())
    assert "not shown again" in done.stderr
    (key,) = read_ring(tmp_path / "keys.json").keys
    assert key.id == key_id
    assert key.peppered
    assert key.matches(secret, b"pepper")
    assert key.expires_at - datetime.now(UTC) > timedelta(days=89)
    for file in ("keys.json", "audit.jsonl"):
        assert secret not in (tmp_path / file).read_text()
    listed = keys("list")
    assert secret not in listed.stdout
    assert "keys/camera-7" in listed.stdout
    assert "valid" in listed.stdout


def test_a_revoked_key_stays_listed_as_such(keys, tmp_path):
    made = json.loads(keys("create", "camera-7", "--scope", "classify", "--json").stdout)
    assert keys("revoke", made["id"]).returncode == 0
    assert keys("revoke", made["id"]).returncode == 0
    (line,) = map(json.loads, keys("list", "--json").stdout.splitlines())
    assert line["revoked_at"] is not None
    assert "key" not in line
    missing = keys("revoke", "000000000000")
    assert missing.returncode == 1
    assert "There is no key" in missing.stderr
    lines = audited(tmp_path)
    assert [(line["action"], line["outcome"]) for line in lines] == [
        ("key.create", "ok"),
        ("key.revoke", "ok"),
        ("key.revoke", "ok"),
        ("key.revoke", "not_found"),
    ]
    assert all("@" in line["who"] and line["at"] for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "camera-7"),
        ("create", "a/b", "--scope", "read"),
        ("create", "camera-7", "--scope", "everything"),
        ("create", "camera-7", "--scope", "read", "--expires", "soon"),
        ("create", "camera-7", "--scope", "read", "--tenant", "a/b"),
    ],
)
def test_wrong_usage_is_exit_2_and_makes_nothing(keys, tmp_path, arguments):
    assert keys(*arguments).returncode == 2
    assert not (tmp_path / "keys.json").exists()


def test_a_spoiled_file_is_left_as_it_is(keys, tmp_path):
    (tmp_path / "keys.json").write_text("{")
    done = keys("create", "camera-7", "--scope", "read")
    assert done.returncode == 1
    assert "is no list of API keys" in done.stderr
    assert (tmp_path / "keys.json").read_text() == "{"
    assert audited(tmp_path)[0]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "header", "value"),
    [(("--token", "abc"), "authorization", "Bearer abc"), (("--api-key", "k"), "x-api-key", "k")],
)
def test_credentials_go_with_every_request(bestiary, stub, tmp_path, arguments, header, value):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"photo")
    for command in (("classify", photo), ("results", "list"), ("results", "events"), ("results", "export")):
        stub.headers.clear()
        done = bestiary(*command, "--url", stub.url, *arguments)
        assert done.returncode == 0, done.stderr
        sent = [{name.lower(): text for name, text in headers.items()} for headers in stub.headers]
        assert sent
        assert all(headers[header] == value for headers in sent)


def test_credentials_may_come_from_the_environment(bestiary, stub, environment):
    environment["BESTIARY_API_KEY"] = "k"
    assert bestiary("results", "list", "--url", stub.url).returncode == 0
    assert stub.headers[0]["X-API-Key"] == "k"
    environment["BESTIARY_TOKEN"] = "t"
    assert bestiary("results", "list", "--url", stub.url).returncode == 2


def test_credentials_do_not_leave_this_machine_in_clear_text(bestiary):
    done = bestiary("results", "list", "--url", "http://bestiary.example", "--token", "hunter2")
    assert done.returncode == 2
    assert "https" in done.stderr
    assert "hunter2" not in done.stderr
