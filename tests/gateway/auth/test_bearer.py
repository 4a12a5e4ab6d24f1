"""Tokens of a real issuer on loopback: which are taken, and which never are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.auth.bearer import LEEWAY_S, BearerAuthenticator
from gateway.auth.jwks import COOLDOWN_S, EXPIRE_S, REFRESH_S
from gateway.auth.principal import Credentials, Kind, Principal, Scope
from gateway.errors import NotReady, Unauthenticated
from tests.support.gateway import NOW, TestClock
from tests.support.issuer import ISSUERS, OTHER_TENANT, TENANT, Issuer


async def known(bearer: BearerAuthenticator, token: str) -> Principal:
    principal = await bearer.authenticate(Credentials(bearer=token))
    assert principal is not None
    return principal


async def refused(bearer: BearerAuthenticator, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await bearer.authenticate(Credentials(bearer=token))
    assert token not in str(caught.value)
    return str(caught.value)


def forged(header: dict[str, object], token: str, secret: bytes = b"") -> str:
    """The token's claims under another header, signed with HMAC, or not at all."""
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    signed = head + b"." + token.split(".")[1].encode()
    signature = hmac.digest(secret, signed, hashlib.sha256) if secret else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def test_a_user_is_known_by_tenant_and_object_id(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    principal = await known(bearer, issuer.token(preferred_username="anna@park.example"))
    assert principal.owner == f"{TENANT}/anna"
    assert principal.scopes == {Scope.CLASSIFY, Scope.READ}
    assert (principal.kind, principal.name) == (Kind.TOKEN, "anna@park.example")


async def test_an_application_is_known_by_its_roles(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    principal = await known(bearer, issuer.token(scp=None, roles=["admin", "Something.Else", 7]))
    assert principal.scopes == {Scope.ADMIN}


async def test_an_elliptic_key_is_taken(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    issuer.add("curve", curve=True)
    assert (await known(bearer, issuer.token("curve", algorithm="ES256"))).subject == "anna"


async def test_no_token_is_not_our_business(bearer: BearerAuthenticator) -> None:
    assert await bearer.authenticate(Credentials(api_key="x")) is None


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ({"iss": "https://evil.example/x/v2.0"}, "not for this service"),
        ({"iss": ISSUERS[0]}, "not for this service"),
        ({"iss": None}, "not for this service"),
        ({"iss": ISSUERS[0].replace("{tenantid}", OTHER_TENANT)}, "not for this service"),
        ({"aud": "api://other"}, "not for this service"),
        ({"aud": None}, "not for this service"),
        ({"exp": None}, "not for this service"),
        ({"exp": NOW.timestamp() - LEEWAY_S - 1}, "expired"),
        ({"exp": "tomorrow"}, "not a signed JWT"),
        ({"exp": 1e300}, "not a signed JWT"),
        ({"nbf": NOW.timestamp() + LEEWAY_S + 1}, "not valid yet"),
        ({"tid": OTHER_TENANT, "iss": ISSUERS[0].replace("{tenantid}", OTHER_TENANT)}, "no access here"),
        ({"tid": None}, "not for this service"),
        ({"azp": None}, "no access token"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(
    bearer: BearerAuthenticator, issuer: Issuer, claims: dict[str, object], complaint: str
) -> None:
    assert complaint in await refused(bearer, issuer.token(**claims))


@pytest.mark.parametrize("claims", [{"exp": NOW.timestamp() - LEEWAY_S + 1}, {"nbf": NOW.timestamp() + LEEWAY_S - 1}])
async def test_clocks_may_differ_a_little(
    bearer: BearerAuthenticator, issuer: Issuer, claims: dict[str, float]
) -> None:
    await known(bearer, issuer.token(**claims))


async def test_an_unsigned_token_is_refused(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    assert "signed with RS256 or ES256" in await refused(bearer, issuer.token(algorithm="none"))
    for name in ("none", "None", "NONE", "", None):
        await refused(bearer, forged({"alg": name, "typ": "JWT", "kid": "first"}, issuer.token()))


async def test_a_token_signed_with_the_public_key_as_secret_is_refused(
    bearer: BearerAuthenticator, issuer: Issuer
) -> None:
    public = issuer.keys["first"].public_key()  # type: ignore[union-attr]
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = forged({"alg": "HS256", "typ": "JWT", "kid": "first"}, issuer.token(), pem)
    assert "signed with RS256 or ES256" in await refused(bearer, token)
    disguised = forged({"alg": "RS256", "typ": "JWT", "kid": "first"}, issuer.token(), pem)
    assert "signature" in await refused(bearer, disguised)


async def test_a_symmetric_key_of_the_issuer_is_never_used(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    secret = b"s" * 32
    encoded = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    issuer.published.append({"kty": "oct", "k": encoded, "kid": "shared"})
    token = jwt.encode({"oid": "eve"}, secret, "HS256", headers={"kid": "shared"})
    assert "signed with RS256 or ES256" in await refused(bearer, token)
    for name in ("RS256", "ES256"):
        assert "does not publish" in await refused(bearer, forged({"alg": name, "kid": "shared"}, token, secret))


async def test_the_algorithm_must_be_that_of_the_key(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    token = forged({"alg": "ES256", "kid": "first"}, issuer.token(), b"x")
    assert "signature" in await refused(bearer, token)
    await refused(bearer, issuer.token(algorithm="RS512"))


async def test_claims_that_were_changed_break_the_signature(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    body = issuer.token(oid="eve").split(".")[1]
    assert "signature" in await refused(bearer, f"{head}.{body}.{signature}")


@pytest.mark.parametrize("token", ["x", "a.b.c", "a" * 20_000, "eyJ.eyJ.", "\N{SNOWMAN}.b.c"])
async def test_garbage_is_no_token(bearer: BearerAuthenticator, token: str) -> None:
    await refused(bearer, token)


async def test_a_key_bound_to_one_tenant_signs_for_no_other(bearer: BearerAuthenticator, issuer: Issuer) -> None:
    issuer.add("theirs", issuer=ISSUERS[0].replace("{tenantid}", OTHER_TENANT))
    issuer.add("ours", issuer=ISSUERS[0])
    assert "no access here" in await refused(bearer, issuer.token("theirs"))
    await known(bearer, issuer.token("ours"))


async def test_made_up_key_ids_ask_the_issuer_once(
    bearer: BearerAuthenticator, issuer: Issuer, clock: TestClock
) -> None:
    for number in range(20):
        assert "does not publish" in await refused(bearer, issuer.token(header_kid=f"made-up-{number}"))
    assert issuer.asked == 1
    clock.pass_s(COOLDOWN_S + 1)
    await refused(bearer, issuer.token(header_kid="made-up"))
    assert issuer.asked == 2


async def test_a_rotated_key_is_found_without_a_restart(
    bearer: BearerAuthenticator, issuer: Issuer, clock: TestClock
) -> None:
    await known(bearer, issuer.token())
    issuer.published.clear()
    issuer.add("second")
    clock.pass_s(COOLDOWN_S + 1)
    await known(bearer, issuer.token("second"))
    assert "does not publish" in await refused(bearer, issuer.token("first")), "what is withdrawn no longer counts"
    assert issuer.asked == 2


async def test_an_issuer_that_is_away_stops_nobody_whose_key_is_known(
    bearer: BearerAuthenticator, issuer: Issuer, clock: TestClock
) -> None:
    await known(bearer, issuer.token())
    issuer.status = 503
    clock.pass_s(REFRESH_S + 1)
    token = issuer.token(exp=NOW.timestamp() + 10 * EXPIRE_S)
    await known(bearer, token)
    clock.pass_s(EXPIRE_S)
    with pytest.raises(NotReady):
        await known(bearer, token)
    with pytest.raises(NotReady):
        await known(bearer, token)
    issuer.status = 200
    clock.pass_s(COOLDOWN_S + 1)
    await known(bearer, token)
