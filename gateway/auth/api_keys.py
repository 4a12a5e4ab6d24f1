"""API keys for machines without Entra ID, from a file that may change, or from a setting."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.auth.key_ring import ApiKey, KeyRing, digest, read_ring, split_key
from gateway.auth.principal import Credentials, Kind, Principal
from gateway.errors import Unauthenticated
from gateway.ports import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 1.0
"""How long a changed file may go unseen: a revoked key works for this long at most."""

_NO_SALT: Final = "00" * 16
_WRONG = "This API key is not known here, or no longer valid: ask the operator for a new one."


class KeyFile:
    """A key file that is read again when it changes. A file that became unreadable leaves the last keys in place."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises ValueError, OSError if it cannot be read now."""
        self._path = path
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._seen = self._stamp()
        self._ring = read_ring(path)

    def __call__(self) -> KeyRing:
        """The keys of now."""
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._ring, self._seen = read_ring(self._path), stamp
                    log.info("API keys were read again: %d", len(self._ring.keys))
            except (OSError, ValueError) as error:
                log.error("API keys cannot be read again, the last ones stay: %s", error)
        return self._ring

    def _stamp(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)


class ApiKeyAuthenticator:
    """The Authenticator port for API keys. ``ring`` gives the keys of now."""

    challenge = "ApiKey"

    def __init__(self, ring: Callable[[], KeyRing], pepper: bytes, clock: Clock) -> None:
        """Raises ValueError if keys were made with a pepper and there is none now."""
        self._ring = ring
        self._pepper = pepper
        self._clock = clock
        if not pepper and any(key.peppered for key in ring().keys):
            raise ValueError("The API keys were made with a pepper: set BESTIARY_API_KEY_PEPPER to the same.")

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """The machine that the key was made for. Raises Unauthenticated, always in the same words."""
        if not credentials.api_key:
            return None
        key = self._find(credentials.api_key)
        if key is None or not key.valid_at(self._clock.now()):
            raise Unauthenticated(_WRONG)
        return Principal(key.tenant, key.name, key.scopes, Kind.KEY, f"{key.name} ({key.id})", key.quota)

    async def close(self) -> None:
        """Nothing to release."""

    def _find(self, text: str) -> ApiKey | None:
        parts = split_key(text)
        if parts is None:
            return None
        key_id, secret = parts
        key = self._ring().find(key_id)
        if key is None:
            digest(secret, _NO_SALT, self._pepper)  # an unknown id takes as long as a wrong secret
            return None
        return key if key.matches(secret, self._pepper) else None
