"""Credentials are read strictly, and owners are what can stand in a record."""

from __future__ import annotations

import pytest

from gateway.auth.guard import Guard, OpenAuthenticator, require
from gateway.auth.principal import LOCAL, Credentials, Kind, Principal, Scope, checked, read_credentials
from gateway.errors import Forbidden, Unauthenticated


def principal(tenant: str = "park", subject: str = "anna", *scopes: Scope) -> Principal:
    return Principal(tenant, subject, frozenset(scopes), Kind.TOKEN)


@pytest.mark.parametrize(
    ("authorization", "api_key", "expected"),
    [
        ("Bearer abc", "", Credentials(bearer="abc")),
        ("bearer   abc ", "", Credentials(bearer="abc")),
        ("ApiKey k", "", Credentials(api_key="k")),
        ("", " k ", Credentials(api_key="k")),
        ("", "", Credentials(certificate="CN=x")),
    ],
)
def test_one_kind_of_credentials_is_read(authorization: str, api_key: str, expected: Credentials) -> None:
    assert read_credentials(authorization, api_key, "CN=x") == expected


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [("Basic abc", ""), ("Bearer", ""), ("Bearer ", "k"), ("abc", ""), ("Bearer a", "k"), ("ApiKey a", "k")],
)
def test_anything_else_is_refused(authorization: str, api_key: str) -> None:
    with pytest.raises(Unauthenticated):
        read_credentials(authorization, api_key)


def test_secrets_are_not_in_a_repr() -> None:
    assert "hunter2" not in repr(Credentials(bearer="hunter2", api_key="hunter2"))


@pytest.mark.parametrize(
    ("tenant", "subject"), [("", "anna"), ("park", ""), ("a/b", "c"), ("park", "x" * 200), ("park", "a\nb")]
)
def test_what_cannot_be_an_owner_is_refused(tenant: str, subject: str) -> None:
    with pytest.raises(Unauthenticated):
        checked(principal(tenant, subject))


def test_nobody_with_credentials_can_be_local() -> None:
    assert LOCAL.owner == "local"
    assert principal("local", "local").owner == "local/local"


def test_admin_may_everything_and_others_what_they_hold() -> None:
    require(principal("park", "anna", Scope.ADMIN), Scope.CLASSIFY)
    with pytest.raises(Forbidden, match="classify") as caught:
        require(principal("park", "anna", Scope.READ), Scope.CLASSIFY)
    assert 'error="insufficient_scope"' in caught.value.challenge


async def test_without_any_way_in_nobody_gets_in() -> None:
    with pytest.raises(Unauthenticated):
        await Guard([]).authenticate(Credentials(bearer="x"))


async def test_open_is_local() -> None:
    assert await Guard([OpenAuthenticator()]).authenticate(Credentials()) == LOCAL
