"""Every configured way of knowing a caller, tried on the credentials of one call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.auth.certificates import CertificateAuthenticator
from gateway.auth.principal import LOCAL, Credentials, Kind, Principal, Scope, checked
from gateway.errors import Forbidden, Unauthenticated
from gateway.ports import Authenticator

REALM: Final = "bestiary"
_UNSAFE = re.compile(r'[^\x20-\x7e]|["\\]')


class OpenAuthenticator:
    """Nobody is asked: every caller is ``local`` and may do everything. For loopback only (server.refuse_open_bind)."""

    challenge = ""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Always ``local``; credentials that came are not looked at."""
        return LOCAL

    async def close(self) -> None:
        """Nothing to release."""


class Guard:
    """Turns credentials into a principal, or a typed error. Used alike by every edge."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators

    @property
    def open(self) -> bool:
        """Whether callers without credentials are let in."""
        return any(isinstance(one, OpenAuthenticator) for one in self._authenticators)

    @property
    def certificates(self) -> bool:
        """Whether a client certificate may say who calls."""
        return any(isinstance(one, CertificateAuthenticator) for one in self._authenticators)

    async def authenticate(self, credentials: Credentials) -> Principal:
        """The caller. Raises Unauthenticated with the challenges of all that is configured, NotReady."""
        try:
            for authenticator in self._authenticators:
                principal = await authenticator.authenticate(credentials)
                if principal is not None:
                    return principal if principal.kind is Kind.OPEN else checked(principal)
        except Unauthenticated as error:
            raise Unauthenticated(str(error), challenge=self._challenge(str(error))) from error.__cause__
        problem = "These credentials are not of a kind that is taken here" if credentials else "Credentials are needed"
        raise Unauthenticated(
            f"{problem}: send a bearer token or an API key, as the operator gave it.", challenge=self._challenge()
        )

    def refuse(self, error: Unauthenticated) -> Unauthenticated:
        """The same error with the challenges of this service, for credentials that could not even be read."""
        return Unauthenticated(str(error), challenge=self._challenge())

    async def close(self) -> None:
        """Release all authenticators."""
        for authenticator in self._authenticators:
            await authenticator.close()

    def _challenge(self, trouble: str = "") -> str:
        """RFC 6750, 3: a token that does not hold is named as such; without one only the realm is said."""
        parts = []
        for word in (authenticator.challenge for authenticator in self._authenticators if authenticator.challenge):
            part = f'{word} realm="{REALM}"'
            if trouble and word == "Bearer":
                part += f', error="invalid_token", error_description="{_UNSAFE.sub("", trouble)}"'
            parts.append(part)
        return ", ".join(parts)


def require(principal: Principal, scope: Scope) -> None:
    """Raise Forbidden unless the principal holds the scope."""
    if not principal.holds(scope):
        challenge = f'Bearer realm="{REALM}", error="insufficient_scope", scope="{scope}"'
        raise Forbidden(
            f"These credentials do not allow this: the scope `{scope}` is needed.",
            challenge=challenge if principal.kind is Kind.TOKEN else "",
        )
