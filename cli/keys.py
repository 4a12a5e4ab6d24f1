"""``bestiary keys``: API keys for machines, in the file that the gateway reads."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from cli.options import FAILED, complain
from cli.render import print_table
from gateway.audit import audit, open_audit_log
from gateway.auth.key_ring import ApiKey, changing, make_key, read_ring
from gateway.auth.principal import Quota, Scope

app = typer.Typer(
    help="API keys for machines without Entra ID.\n\nExample: bestiary keys create camera-7 --scope classify",
    no_args_is_help=True,
)

DEFAULT_TENANT: Final = "keys"
_HEADINGS: Final = ("id", "owner", "scopes", "created", "expires", "state")
_SPAN: Final = re.compile(r"(\d{1,4})([dh])")

KeyFile = Annotated[
    Path, typer.Option("--file", envvar="BESTIARY_API_KEYS_FILE", metavar="FILE", help="Where the keys are kept.")
]
AuditFile = Annotated[
    Path | None,
    typer.Option(envvar="BESTIARY_AUDIT_FILE", metavar="FILE", help="Where the audit line goes; else standard error."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
DEFAULT_FILE: Final = Path("var/keys.json")


def _expiry(text: str) -> timedelta | None:
    """``90d``, ``12h`` or ``never``. Raises typer.BadParameter."""
    if text == "never":
        return None
    match = _SPAN.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is not a time such as 90d or 12h, nor `never`.")
    return timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Of the machine. Its records belong to TENANT/NAME.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")],
    tenant: Annotated[str, typer.Option(help="Whose machine it is.")] = DEFAULT_TENANT,
    expires: Annotated[str, typer.Option(metavar="TIME", help="E.g. 90d, 12h or never.")] = "365d",
    photos_per_minute: Annotated[int | None, typer.Option(min=1, help="Its own share, not the service's.")] = None,
    in_flight: Annotated[int | None, typer.Option(min=1, help="Photos in work at once.")] = None,
    file: KeyFile = DEFAULT_FILE,
    audit_file: AuditFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is printed once: only a digest of it is kept.

    A second key with the same name reads and writes the same records, so that
    keys can be changed without a pause: create, use the new one, revoke the old.
    The pepper, if there is one, comes from BESTIARY_API_KEY_PEPPER.

    Example: bestiary keys create camera-7 --scope classify --scope read --expires 90d

    Exit codes: 0 made, 1 the file cannot be read or written, 2 wrong usage
    """
    span, now = _expiry(expires), datetime.now(UTC)
    try:
        key, text = make_key(
            name,
            tenant=tenant,
            scopes=frozenset(scope),
            now=now,
            expires_at=None if span is None else now + span,
            quota=Quota(photos_per_minute, in_flight),
            pepper=os.environ.get("BESTIARY_API_KEY_PEPPER", "").encode(),
        )
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        message = "up to 64 letters, digits and . _ @ -, the first a letter or digit"
        raise typer.BadParameter(message, param_hint=str(fault["loc"][0]).upper()) from error
    with _recorded(audit_file, "key.create", f"{tenant}/{name} {key.id}"), changing(file) as keys:
        keys.append(key)
    if as_json:
        typer.echo(json.dumps({"id": key.id, "key": text, **_facts(key)}))
    else:
        typer.echo(text)
        complain(f"Made the key {key.id}. It is not shown again: keep it where the machine reads BESTIARY_API_KEY.")


@app.command("list")
def list_keys(file: KeyFile = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """List the keys; the secrets are not known.

    Example: bestiary keys list --json

    Exit codes: 0 listed, even if there are none, 1 the file cannot be read, 2 wrong usage
    """
    with _file_errors():
        keys = read_ring(file).keys
    if as_json:
        for key in keys:
            typer.echo(json.dumps({"id": key.id, **_facts(key)}))
        return
    print_table(_HEADINGS, [_row(key) for key in keys])
    if not keys:
        complain(f"There is no key in {file}.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a key, see `bestiary keys list`.")],
    file: KeyFile = DEFAULT_FILE,
    audit_file: AuditFile = None,
) -> None:
    """Make a key worthless. A running gateway sees it within a second.

    Example: bestiary keys revoke 0123456789ab

    Exit codes: 0 revoked, now or before, 1 there is no such key, or the file cannot be written, 2 wrong usage
    """
    with _recorded(audit_file, "key.revoke", key_id) as outcome, changing(file) as keys:
        place = next((at for at, key in enumerate(keys) if key.id == key_id), None)
        if place is None:
            outcome.append("not_found")
        elif keys[place].revoked_at is None:
            keys[place] = keys[place].model_copy(update={"revoked_at": datetime.now(UTC)})
    if place is None:
        complain(f"There is no key {key_id} in {file}: see `bestiary keys list`.")
        raise typer.Exit(FAILED)
    complain(f"Revoked the key {key_id}.")


@contextmanager
def _recorded(audit_file: Path | None, action: str, target: str) -> Iterator[list[str]]:
    """Write an audit line of what is done inside; put another outcome than ``ok`` into the list."""
    with _file_errors():
        handler = open_audit_log(audit_file)
        outcome: list[str] = []
        try:
            yield outcome
        except BaseException:
            outcome = ["failed"]
            raise
        finally:
            audit(f"{_user()}@{socket.gethostname()}", action, target, outcome=outcome[0] if outcome else "ok")
            handler.close()


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        complain(f"{error.filename} cannot be read or written: {error.strerror}.")
        raise typer.Exit(FAILED) from error
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user id, as in a container
        return str(os.getuid())


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "photos_per_minute": key.photos_per_minute,
        "in_flight": key.in_flight,
    }


def _row(key: ApiKey) -> tuple[str, ...]:
    state = "revoked" if key.revoked_at else "valid" if key.valid_at(datetime.now(UTC)) else "expired"
    expires = f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never"
    created = f"{key.created_at:%Y-%m-%d %H:%M}"
    return key.id, f"{key.tenant}/{key.name}", " ".join(sorted(key.scopes)), created, expires, state
