"""Bearer tokens of Entra ID: JWTs that an allowed tenant's users and applications bring.

Checked, in this order: algorithm (RS256 or ES256, that of the key), signature, expiry and not-before (with
``LEEWAY_S``), audience, tenant, issuer, that it is an access token. References: RFC 8725 (what to check in a JWT),
Microsoft's "Access tokens in the Microsoft identity platform".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from gateway.auth.jwks import ALGORITHMS, JwksCache, SigningKey
from gateway.auth.principal import Credentials, Kind, Principal, Scope
from gateway.errors import Unauthenticated
from gateway.ports import Clock

LEEWAY_S: Final = 60
"""How far the issuer's clock and ours may be apart."""

MAX_TOKEN: Final = 16 * 1024
"""Characters. Entra ID's are 1 to 4 thousand; groups that would make them longer are left out by it."""

_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times are before it; larger numbers are no times."""

_ELSEWHERE = "The token is not for this service: ask for one with its application id as audience."
_UNKNOWN_TENANT = "The token is of a tenant that has no access here: sign in with another, or ask the operator."
_GARBLED = "The bearer token is not a signed JWT: send the access token as it was issued."
_TOO_LATE = "The token has expired: get a new one."
_TOO_EARLY = "The token is not valid yet: check the clocks of both machines."
_SIGNATURE = "The signature of the token does not hold: get a new one."
_ALGORITHM = f"Tokens must be signed with {' or '.join(ALGORITHMS)}."
_UNKNOWN_KEY = "The token is signed with a key that its issuer does not publish: get a new one."
_NOT_ACCESS = "This is no access token (it has no `azp` or `appid`): send the access token, not the ID token."


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are taken. ``issuers`` may hold ``{tenantid}`` for the token's own tenant."""

    tenants: Collection[str]
    audiences: Sequence[str]
    issuers: Sequence[str]


class BearerAuthenticator:
    """The Authenticator port for bearer tokens."""

    challenge = "Bearer"

    def __init__(self, trust: Trust, keys: JwksCache, clock: Clock) -> None:
        self._trust = trust
        self._keys = keys
        self._clock = clock

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """The user or application that the token was issued to. Raises Unauthenticated, NotReady."""
        if not credentials.bearer:
            return None
        key = await self._key(credentials.bearer)
        claims = self._claims(credentials.bearer, key)
        self._check_times(claims)
        tenant = self._tenant(claims, key)
        if not claims.get("azp") and not claims.get("appid"):
            raise Unauthenticated(_NOT_ACCESS)
        subject = _text(claims, "oid") or _text(claims, "sub")
        name = _text(claims, "preferred_username") or _text(claims, "app_displayname") or subject
        return Principal(tenant, subject, _scopes(claims), Kind.TOKEN, name)

    async def close(self) -> None:
        """Stop fetching keys."""
        await self._keys.close()

    async def _key(self, token: str) -> SigningKey:
        """The key that the header names. The header is not trusted: it only chooses among the issuer's keys."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated(_GARBLED)
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(_GARBLED) from error
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated(_ALGORITHM)
        key_id = header.get("kid")
        key = await self._keys.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Unauthenticated(_UNKNOWN_KEY)
        return key

    def _claims(self, token: str, key: SigningKey) -> Mapping[str, Any]:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.jwk,
                algorithms=[key.algorithm],
                audience=self._trust.audiences,
                # Times are checked against the injected clock, the issuer with its tenant.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "aud"]},
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
            raise Unauthenticated(_SIGNATURE) from error
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError) as error:
            raise Unauthenticated(_ELSEWHERE) from error
        except jwt.PyJWTError as error:
            raise Unauthenticated(_GARBLED) from error
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now()
        if now.timestamp() >= _seconds(claims, "exp") + LEEWAY_S:
            raise Unauthenticated(_TOO_LATE)
        if "nbf" in claims and now.timestamp() < _seconds(claims, "nbf") - LEEWAY_S:
            raise Unauthenticated(_TOO_EARLY)

    def _tenant(self, claims: Mapping[str, Any], key: SigningKey) -> str:
        """The token's tenant, if it is allowed, the issuer is that tenant's, and the key signs for it."""
        tenant, issuer = _text(claims, "tid"), _text(claims, "iss")
        if not any(issuer == template.replace("{tenantid}", tenant) for template in self._trust.issuers):
            raise Unauthenticated(_ELSEWHERE)
        if tenant not in self._trust.tenants or (key.issuer and tenant not in key.issuer.split("/")):
            raise Unauthenticated(_UNKNOWN_TENANT)
        return tenant


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else ""


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    """A time claim: seconds since 1970 (RFC 7519, 2). Raises Unauthenticated."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        raise Unauthenticated(_GARBLED)
    return value


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Delegated scopes (``scp``, one text) and application roles (``roles``, a list) with our names; others are not
    ours."""
    roles = claims.get("roles")
    words = roles if isinstance(roles, list) else []
    given = {*_text(claims, "scp").split(), *(word for word in words if isinstance(word, str))}
    return frozenset(scope for scope in Scope if scope.value in given)
