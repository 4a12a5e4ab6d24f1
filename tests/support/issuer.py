"""An issuer of tokens on loopback: its keys, its JWKS address, and tokens as Entra ID makes them, or wrong ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.gateway import NOW

TENANT = "72f988bf-0000-4000-8000-000000000001"
OTHER_TENANT = "72f988bf-0000-4000-8000-000000000002"
AUDIENCE = "api://bestiary"
ISSUERS = ("https://login.example/{tenantid}/v2.0",)


class Issuer:
    """Publishes ``published`` under ``url``; counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKeyTypes] = {}
        self.published: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        self.add("first")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def add(self, key_id: str, *, curve: bool = False, **facts: str) -> None:
        """A new key, published from now on."""
        key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
        public = (ECAlgorithm if curve else RSAAlgorithm).to_jwk(key.public_key(), as_dict=True)  # type: ignore[arg-type]
        self.keys[key_id] = key
        self.published.append({**public, "kid": key_id, "use": "sig", **facts})

    def token(self, key_id: str = "first", *, algorithm: str = "RS256", header_kid: str = "", **claims: Any) -> str:
        """A token for the photos' API; ``claims`` replace its own, None leaves one out."""
        now = NOW.timestamp()
        body = {
            "iss": ISSUERS[0].replace("{tenantid}", TENANT), "aud": AUDIENCE, "tid": TENANT, "oid": "anna",
            "sub": "pairwise", "azp": "client", "scp": "classify read", "iat": now, "nbf": now, "exp": now + 3600,
        } | claims  # fmt: skip
        body = {name: value for name, value in body.items() if value is not None}
        key: Any = self.keys[key_id] if algorithm != "none" else ""
        return jwt.encode(body, key, algorithm, headers={"kid": header_kid or key_id})


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = json.dumps({"keys": issuer.published}).encode()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer on a free port."""
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.server.shutdown()
        issuer.server.server_close()
        thread.join()
