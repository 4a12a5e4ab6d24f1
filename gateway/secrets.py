"""Settings that say where a secret is instead of what it is: ``keyvault:https://VAULT/secrets/NAME[/VERSION]``.

Resolved once, before anything starts. The azure packages are imported only if there is such a setting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway.settings import Settings

SCHEME: Final = "keyvault:"


class Vault(Protocol):
    """What is used of azure.keyvault.secrets.SecretClient."""

    def get_secret(self, name: str, version: str | None = None) -> Any:
        """A Secret; the newest without a version. Raises azure.core.exceptions.AzureError."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is."""

    vault_url: str
    name: str
    version: str | None


class SecretUnavailable(ValueError):
    """A secret that a setting names cannot be had; the message names setting and vault, never a value."""


def resolve(settings: Settings, open_vault: Callable[[str], Vault] | None = None) -> Settings:
    """The settings with every reference replaced by its secret. Blocks; call it before the event loop starts.

    Raises SecretUnavailable. ``open_vault`` makes a client for a vault's URL; by default Azure's own, with
    DefaultAzureCredential (managed identity, workload identity, or the login of a developer).
    """
    vaults: dict[str, Vault] = {}
    found: dict[str, SecretStr] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else ""
        if text.startswith(SCHEME):
            setting = f"BESTIARY_{name.upper()}"
            reference = parse(text, setting)
            vault = vaults.setdefault(reference.vault_url, (open_vault or _open_azure)(reference.vault_url))
            found[name] = SecretStr(_fetch(vault, reference, setting))
    return settings.model_copy(update=found)


def parse(text: str, setting: str) -> Reference:
    """What a reference names. Raises SecretUnavailable."""
    url = urlsplit(text.removeprefix(SCHEME))
    parts = url.path.strip("/").split("/")
    plain = url.scheme == "https" and url.hostname and not (url.query or url.fragment or url.username)
    if not plain or len(parts) not in (2, 3) or parts[0] != "secrets" or not all(parts):
        raise SecretUnavailable(
            f"{setting} must be the secret itself or keyvault:https://VAULT.vault.azure.net/secrets/NAME."
        )
    return Reference(f"https://{url.netloc}", parts[1], parts[2] if len(parts) == 3 else None)


def _fetch(vault: Vault, reference: Reference, setting: str) -> str:
    try:
        value = vault.get_secret(reference.name, reference.version).value
    except Exception as error:
        from azure.core.exceptions import AzureError

        if not isinstance(error, AzureError):
            raise
        raise SecretUnavailable(
            f"{setting}: the secret {reference.name} cannot be read from {reference.vault_url} "
            f"({type(error).__name__}): check its name, and that this identity may get secrets there."
        ) from error
    if not value:
        raise SecretUnavailable(f"{setting}: the secret {reference.name} in {reference.vault_url} is empty.")
    return str(value)


def _open_azure(vault_url: str) -> Vault:
    try:
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.secrets import SecretClient
    except ImportError as error:
        raise SecretUnavailable(
            f"A setting refers to {vault_url}, and the azure extra is not installed: pip install 'bestiary[azure]'."
        ) from error
    return SecretClient(vault_url, DefaultAzureCredential())
