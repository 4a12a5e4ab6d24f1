"""API keys as they are kept: never the key itself, only a salted, keyed digest of it.

A key is 256 random bits, so nobody can guess it from its digest, however fast the digest is; slow functions such as
scrypt protect what people make up. Here one would cost 50 ms of CPU a request and give whoever sends made-up keys a
cheap way to stop the service. So the digest is HMAC-SHA-256 (RFC 2104) over salt and secret; its key is the pepper,
a setting that is not in the file: without it nobody who can write the file can add a key.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.auth.principal import Quota, Scope

PREFIX: Final = "bestiary"
SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"


class ApiKey(BaseModel):
    """One key. Its records belong to ``tenant/name``, so a new key with the same name reads the old one's records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(pattern=_NAME)
    tenant: str = Field(pattern=_NAME)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    photos_per_minute: int | None = Field(None, ge=1)
    in_flight: int | None = Field(None, ge=1)
    salt: str = Field(pattern=r"^[0-9a-f]{32}$", repr=False)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    peppered: bool

    @property
    def quota(self) -> Quota | None:
        """The key's own share; None where it has the service's."""
        if self.photos_per_minute is None and self.in_flight is None:
            return None
        return Quota(self.photos_per_minute, self.in_flight)

    def matches(self, secret: str, pepper: bytes) -> bool:
        """Whether this is the key's secret; takes as long if it is not."""
        return hmac.compare_digest(digest(secret, self.salt, pepper), self.digest)

    def valid_at(self, moment: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)


class KeyRing(BaseModel):
    """All keys: the content of the key file and of ``BESTIARY_API_KEYS``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()

    def find(self, key_id: str) -> ApiKey | None:
        """The key with this id."""
        return next((key for key in self.keys if key.id == key_id), None)


def digest(secret: str, salt: str, pepper: bytes) -> str:
    """Hex HMAC-SHA-256 with the pepper as key over salt and secret."""
    return hmac.digest(pepper, bytes.fromhex(salt) + secret.encode(), "sha256").hex()


def make_key(
    name: str,
    *,
    tenant: str,
    scopes: frozenset[Scope],
    now: datetime,
    expires_at: datetime | None,
    quota: Quota,
    pepper: bytes,
) -> tuple[ApiKey, str]:
    """A new key, and the text that its holder sends; it cannot be had again. Raises ValueError for a wrong name."""
    key_id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES), secrets.token_hex(16)
    key = ApiKey(
        id=key_id,
        name=name,
        tenant=tenant,
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
        photos_per_minute=quota.photos_per_minute,
        in_flight=quota.in_flight,
        salt=salt,
        digest=digest(secret, salt, pepper),
        peppered=bool(pepper),
    )
    return key, f"{PREFIX}_{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Id and secret of a key as it is sent; None if it has not the form of one."""
    match = _FORM.fullmatch(text)
    return (match[1], match[2]) if match else None


def parse_ring(text: str, where: str) -> KeyRing:
    """The keys in a document. Raises ValueError, which names ``where`` and shows nothing of the content."""
    try:
        return KeyRing.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the document"
        raise ValueError(
            f"{where} is no list of API keys ({place}: {fault['msg']}): make it by `bestiary keys`."
        ) from None


def read_ring(path: Path) -> KeyRing:
    """The keys of a file; none if there is no file. Raises ValueError, OSError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return KeyRing()
    return parse_ring(text, str(path))


@contextmanager
def changing(path: Path) -> Iterator[list[ApiKey]]:
    """The keys of a file as a list to change; written whole or not at all, one writer at a time. A new file has mode
    0600; one that was there keeps mode, owner and group, as the service that reads it may be another user.

    Raises ValueError, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_ring(path).keys)
        yield keys
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            if path.exists():
                before = path.stat()
                os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
            file.write(KeyRing(keys=tuple(keys)).model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        os.close(lock)
