"""Settings that fit one machine, as JSON: what ``bestiary tune`` writes and ``bestiary up`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

TUNED_NAME: Final = "tuned.json"
"""Below the data directory of ``bestiary up``."""

DEFAULTS_FILE: Final = Path(__file__).parent / "defaults.json"


class SettingsError(ValueError):
    """The file cannot be used; ``str()`` says why and what to do."""


class Settings(BaseModel):
    """What is worth setting by measurement. Each is used where nothing else was said on the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: int | None = Field(None, ge=1, le=256)
    """Of `animals` where it decodes and runs its networks itself; None: as many as its release says."""
    workers: int = Field(1, ge=1, le=64)
    """Gateway processes on the same ports."""
    min_inflight: int = Field(4, ge=1, le=1024)
    """Photos that each of them may always have in Triton."""


class Tuned(BaseModel):
    """A file of settings."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    settings: Settings
    source: str = ""
    """Where they come from."""
    cores: int | None = None
    """Of the machine that they were found on; None: any."""


def defaults(cores: int) -> Tuned:
    """What is shipped for a machine: of the largest number of cores that it has at least; past that by the same rule.

    Only those for two cores were measured; ``source`` says so.
    """
    rows: dict[str, Any] = json.loads(DEFAULTS_FILE.read_text("utf-8"))
    known = sorted(map(int, rows))
    if cores > known[-1]:
        settings = Settings(instances=cores + 1, workers=max(2, cores // 4), min_inflight=cores + 2)
        return Tuned(settings=settings, source="derived, not measured: the rule of 8 vCPU", cores=cores)
    fitting = max((count for count in known if count <= cores), default=known[0])
    return Tuned.model_validate({**rows[str(fitting)], "cores": fitting})


def read_settings(path: Path) -> Tuned:
    """A file of settings. Raises SettingsError."""
    try:
        return Tuned.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"The settings {path} cannot be read ({error.strerror}): run `bestiary tune`.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(f"{path} holds no settings ({where}: {first['msg']}): run `bestiary tune` again.") from None


def write_settings(path: Path, tuned: Tuned, trials: list[dict[str, Any]]) -> None:
    """Write the file, whole or not at all; ``trials`` go with it for whoever wonders. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps({**tuned.model_dump(), "trials": trials}, indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def settings_for(data: Path, cores: int, chosen: Path | None = None) -> tuple[Tuned, str]:
    """Settings of a start: of the file that was named, else of the data directory, else what is shipped; and in words
    where they are from. Raises SettingsError."""
    path = chosen or data / TUNED_NAME
    if chosen is None and not path.exists():
        tuned = defaults(cores)
        return tuned, f"shipped for {tuned.cores} cores"
    tuned = read_settings(path)
    if tuned.cores is not None and tuned.cores != cores:
        return tuned, f"{path}, found on {tuned.cores} cores while here are {cores}: run `bestiary tune`"
    return tuned, str(path)
