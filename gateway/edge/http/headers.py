"""Headers that keep a browser from doing more with an answer than is meant."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of everything but the documentation page: it is data, so nothing in it may run."""

HSTS: Final = "max-age=31536000"
"""Browsers use only https for a year (RFC 6797). Only said where there is TLS."""

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def docs_policy(html: str) -> str:
    """Content-Security-Policy of the documentation page: this service's own files, and the one script in the page by
    its digest. Styles are set by the scripts as attributes, images are in the style sheet as data."""
    scripts = "".join(f" 'sha256-{_digest(script)}'" for script in _SCRIPT.findall(html))
    return (
        f"default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def security_headers(tls: bool) -> dict[str, str]:
    """The headers of every answer."""
    return {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": API_POLICY,
    } | ({"Strict-Transport-Security": HSTS} if tls else {})


class SecurityHeaders:
    """ASGI middleware: adds headers to every answer; one that a route set itself stays."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add to what comes back."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message.get("headers", ()))
                there = {name.lower() for name, _ in headers}
                headers.extend(header for header in self._headers if header[0] not in there)
            await send(message)

        await self._app(scope, receive, add)
