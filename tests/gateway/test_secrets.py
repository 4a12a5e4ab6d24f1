"""Secrets out of a vault by Azure's own client, against a stand-in on loopback that speaks https."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.keyvault.secrets import SecretClient
from pydantic import SecretStr

from gateway.secrets import SecretUnavailable, parse, resolve
from gateway.settings import Settings
from tests.support.certificates import Authority
from tests.support.stack import ROOT


class Credential:
    """Gives the token that the vault asks for."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        self.scopes.extend(scopes)
        return AccessToken("the-token", 4102444800)


class Vault:
    """Challenges, then gives the secrets that it has."""

    def __init__(self, authority: Authority) -> None:
        self.secrets = {"pepper": "from the vault", "empty": ""}
        self.asked: list[str] = []
        self.authority = authority
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("vault"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        self.credential = Credential()

    def open(self, url: str) -> SecretClient:
        return SecretClient(
            url, self.credential, verify_challenge_resource=False, retry_total=0,
            connection_verify=str(self.authority.file),
        )  # fmt: skip


def _handler(vault: Vault) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            vault.asked.append(self.path)
            name = self.path.split("?")[0].split("/")[2]
            if self.headers.get("Authorization") != "Bearer the-token":
                challenge = f'Bearer authorization="{vault.url}/tenant", resource="https://vault.azure.net"'
                self.answer(401, {}, {"WWW-Authenticate": challenge})
            elif name not in vault.secrets:
                self.answer(404, {"error": {"code": "SecretNotFound", "message": "no such secret"}})
            else:
                self.answer(200, {"value": vault.secrets[name], "id": f"{vault.url}/secrets/{name}/1"})

        def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    running = Vault(Authority(tmp_path))
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()


def referring(vault: Vault, name: str, field: str = "api_key_pepper") -> Settings:
    return Settings(**{field: SecretStr(f"keyvault:{vault.url}/secrets/{name}")})  # type: ignore[arg-type]


def test_a_reference_becomes_the_secret(vault: Vault) -> None:
    settings = resolve(referring(vault, "pepper"), vault.open)
    assert settings.api_key_pepper.get_secret_value() == "from the vault"
    assert "from the vault" not in repr(settings)
    assert vault.credential.scopes == ["https://vault.azure.net/.default"]


def test_a_secret_that_is_written_out_asks_nobody(vault: Vault) -> None:
    settings = Settings(api_key_pepper=SecretStr("written out"))
    assert resolve(settings, vault.open).api_key_pepper.get_secret_value() == "written out"
    assert vault.asked == []


@pytest.mark.parametrize(("name", "complaint"), [("missing", "ResourceNotFoundError"), ("empty", "is empty")])
def test_a_secret_that_is_not_there_is_named(vault: Vault, name: str, complaint: str) -> None:
    with pytest.raises(SecretUnavailable, match="BESTIARY_API_KEY_PEPPER") as caught:
        resolve(referring(vault, name), vault.open)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "keyvault:",
        "keyvault:http://v.vault.azure.net/secrets/x",
        "keyvault:https://v.vault.azure.net/keys/x",
        "keyvault:https://v.vault.azure.net/secrets/",
        "keyvault:https://v.vault.azure.net/secrets/x/1/2",
        "keyvault:https://user:hunter2@v.vault.azure.net/secrets/x",
        "keyvault:https://v.vault.azure.net/secrets/x?y=1",
    ],
)
def test_what_is_no_reference_is_said_without_being_shown(text: str) -> None:
    with pytest.raises(SecretUnavailable, match="BESTIARY_X must be") as caught:
        parse(text, "BESTIARY_X")
    assert "hunter2" not in str(caught.value)


def test_a_reference_may_name_a_version() -> None:
    reference = parse("keyvault:https://v.vault.azure.net/secrets/x/0a1b", "X")
    assert (reference.vault_url, reference.name, reference.version) == ("https://v.vault.azure.net", "x", "0a1b")


def test_without_a_reference_azure_is_not_imported() -> None:
    code = (
        "import sys; from gateway.settings import Settings; from gateway.secrets import resolve; import gateway.server;"
        "resolve(Settings()); sys.exit(any(name.split('.')[0] == 'azure' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0
