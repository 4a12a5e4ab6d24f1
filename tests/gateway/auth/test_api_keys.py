"""API keys: kept as digests, found in constant words, gone when they are revoked."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.auth.api_keys import LOOK_AGAIN_S, ApiKeyAuthenticator, KeyFile
from gateway.auth.key_ring import KeyRing, changing, make_key, parse_ring
from gateway.auth.principal import Credentials, Kind, Principal, Quota, Scope
from gateway.errors import Unauthenticated
from tests.support.gateway import NOW, TestClock

PEPPER = b"of this service"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


def add(path: Path, name: str = "camera-7", pepper: bytes = PEPPER, days: int | None = None) -> tuple[str, str]:
    """Id and text of a new key in the file."""
    expires_at = None if days is None else NOW + timedelta(days=days)
    key, text = make_key(
        name, tenant="park", scopes=frozenset({Scope.CLASSIFY}), now=NOW, expires_at=expires_at,
        quota=Quota(60, None), pepper=pepper,
    )  # fmt: skip
    with changing(path) as keys:
        keys.append(key)
    return key.id, text


def at(path: Path, clock: TestClock, pepper: bytes = PEPPER) -> ApiKeyAuthenticator:
    return ApiKeyAuthenticator(KeyFile(path, clock), pepper, clock)


async def known(authenticator: ApiKeyAuthenticator, text: str) -> Principal:
    principal = await authenticator.authenticate(Credentials(api_key=text))
    assert principal is not None
    return principal


async def refused(authenticator: ApiKeyAuthenticator, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(Credentials(api_key=text))
    return str(caught.value)


async def test_a_key_is_a_machine_with_scopes_and_a_share(path: Path, clock: TestClock) -> None:
    key_id, text = add(path)
    principal = await known(at(path, clock), text)
    assert (principal.owner, principal.kind, principal.scopes) == ("park/camera-7", Kind.KEY, {Scope.CLASSIFY})
    assert principal.quota == Quota(60, None)
    assert principal.name == f"camera-7 ({key_id})"


async def test_the_secret_is_nowhere_in_the_file(path: Path) -> None:
    _, text = add(path)
    content = path.read_text()
    assert text.split("_", 2)[2] not in content
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(content)["keys"][0]["name"] == "camera-7"


def test_a_file_that_the_service_may_read_stays_so(path: Path) -> None:
    add(path)
    path.chmod(0o640)
    add(path, "second")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".lock"] == ["keys.json"]


async def test_a_wrong_an_unknown_and_a_revoked_key_are_refused_in_the_same_words(path: Path, clock: TestClock) -> None:
    _, right = add(path)
    expired_id, expired = add(path, "old", days=1)
    clock.pass_s(86400)
    authenticator = at(path, clock)
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    unknown = "bestiary_000000000000_" + right[-43:]
    swapped = f"bestiary_{expired_id}_{right[-43:]}"
    said = {
        await refused(authenticator, text)
        for text in (wrong, unknown, swapped, expired, "nonsense", right + "x", right.upper(), "\N{SNOWMAN}")
    }
    assert len(said) == 1
    await known(authenticator, right)


async def test_a_revoked_key_stops_working_while_the_service_runs(path: Path, clock: TestClock) -> None:
    key_id, text = add(path)
    authenticator = at(path, clock)
    await known(authenticator, text)
    with changing(path) as keys:
        keys[:] = [key.model_copy(update={"revoked_at": NOW}) for key in keys if key.id == key_id]
    clock.pass_s(LOOK_AGAIN_S)
    await refused(authenticator, text)


async def test_a_key_that_is_added_works_while_the_service_runs(path: Path, clock: TestClock) -> None:
    authenticator = at(path, clock)
    _, text = add(path)
    clock.pass_s(LOOK_AGAIN_S)
    await known(authenticator, text)


async def test_a_file_that_is_spoiled_leaves_the_last_keys(path: Path, clock: TestClock) -> None:
    _, text = add(path)
    authenticator = at(path, clock)
    path.write_text("{")
    clock.pass_s(LOOK_AGAIN_S)
    await known(authenticator, text)
    with pytest.raises(ValueError, match="is no list of API keys"):
        at(path, clock)


async def test_without_the_pepper_nobody_can_add_a_key(path: Path, clock: TestClock) -> None:
    _, forged = add(path, pepper=b"")
    await refused(at(path, clock), forged)


def test_a_missing_pepper_is_said_at_the_start(path: Path, clock: TestClock) -> None:
    add(path)
    with pytest.raises(ValueError, match="BESTIARY_API_KEY_PEPPER"):
        at(path, clock, pepper=b"")


def test_a_garbled_list_is_said_without_its_content() -> None:
    with pytest.raises(ValueError, match="BESTIARY_API_KEYS is no list") as caught:
        parse_ring('{"version": 1, "keys": [{"id": "hunter2"}]}', "BESTIARY_API_KEYS")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 65, "-x"])
def test_a_name_that_would_not_do_as_an_owner_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        make_key(
            name, tenant="park", scopes=frozenset(), now=NOW, expires_at=None, quota=Quota(), pepper=PEPPER
        )  # fmt: skip


def test_a_ring_reads_what_it_wrote(path: Path) -> None:
    add(path)
    ring = parse_ring(path.read_text(), "x")
    assert parse_ring(KeyRing(keys=ring.keys).model_dump_json(), "x") == ring
