"""The signing keys of an issuer, fetched beside the event loop's other work and kept.

A key that is known is answered at once, even while the issuer is away: keys older than ``REFRESH_S`` are
fetched again in the background, and only past ``EXPIRE_S`` without any success are they no longer trusted.
A key id that is not known fetches once more, as issuers rotate their keys, but not within ``COOLDOWN_S`` of
the last attempt, so that made-up key ids cost nobody anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx
import jwt

from gateway.errors import NotReady
from gateway.ports import Clock

log = logging.getLogger(__name__)

REFRESH_S: Final = 3600.0
EXPIRE_S: Final = 24 * 3600.0
"""Entra ID asks its users to look for new keys once a day at least."""

COOLDOWN_S: Final = 30.0
FETCH_TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
ALGORITHMS: Final = ("RS256", "ES256")
"""Asymmetric only. With a symmetric one, whoever knows the public key could sign."""

_ALGORITHM_OF = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}


class SigningKey:
    """One public key, the only algorithm it is used with, and the tenant that it is bound to ('' for none)."""

    def __init__(self, data: Mapping[str, Any], algorithm: str) -> None:
        """Raises jwt.PyJWTError if the data are no key of that algorithm."""
        self.jwk = jwt.PyJWK(dict(data), algorithm)
        self.algorithm = algorithm
        issuer = str(data.get("issuer", ""))
        self.issuer = "" if "{tenantid}" in issuer else issuer
        """Entra ID says with a key whose tokens it signs; a template stands for every tenant's."""


class JwksCache:
    """Keys by id from one JWKS address (RFC 7517). One event loop only."""

    def __init__(self, url: str, clock: Clock, *, client: httpx.AsyncClient | None = None) -> None:
        self._url = url
        self._clock = clock
        self._http = client or httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False)
        self._keys: dict[str, SigningKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> SigningKey | None:
        """The key with this id; None if the issuer has none. Raises NotReady if the issuer cannot be asked."""
        age_s = self._since(self._fetched_at)
        if age_s > EXPIRE_S:
            self._keys = {}
        found = self._keys.get(key_id)
        may_fetch = self._since(self._tried_at) > COOLDOWN_S or self._fetching is not None
        if found is not None:
            if age_s > REFRESH_S and may_fetch:
                self._fetch()
            return found
        if may_fetch:
            await asyncio.shield(self._fetch())  # a caller that hangs up does not stop it for the others
            found = self._keys.get(key_id)
        if found is None and self._failed:
            raise NotReady("The keys of the token's issuer cannot be fetched: try again shortly.", retry_after_s=5.0)
        return found

    async def close(self) -> None:
        """Stop fetching, close connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
        await self._http.aclose()

    def _since(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._clock.monotonic() - moment

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._clock.monotonic()
            self._fetching = asyncio.create_task(self._refresh(), name="jwks")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            keys = parse_keys(await self._download())
            if not keys:
                raise ValueError("no RSA or P-256 signing key in it")
            self._keys, self._fetched_at, self._failed = keys, self._clock.monotonic(), False
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            self._failed = True
            log.warning("signing keys could not be fetched from %s: %s", self._url, error)
        finally:
            self._fetching = None

    async def _download(self) -> bytes:
        async with asyncio.timeout(FETCH_TIMEOUT_S), self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("too long for a set of keys")
            return body


def parse_keys(body: bytes) -> dict[str, SigningKey]:
    """Key id -> key, of the RSA and P-256 signing keys in a JWKS document; others are left out. Raises ValueError."""
    document = json.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS document")
    keys = {}
    for data in document["keys"]:
        if not isinstance(data, dict) or data.get("use", "sig") != "sig" or not isinstance(data.get("kid"), str):
            continue
        algorithm = _ALGORITHM_OF.get((str(data.get("kty")), data.get("crv")))
        if algorithm is None or data.get("alg", algorithm) != algorithm:
            continue
        try:
            keys[data["kid"]] = SigningKey(data, algorithm)
        except jwt.PyJWTError as error:
            log.warning("a signing key was left out: %s", error)
    return keys
