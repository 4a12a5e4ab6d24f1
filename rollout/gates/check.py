"""Everything that is checked of a release before it may be published, and what was found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import rollout
from contract.release import Release
from contract.taxonomy import Taxonomy
from rollout.errors import ReleaseBroken
from rollout.gates.descriptions import check_descriptions, read_taxonomy
from rollout.gates.sealed import check_files
from rollout.store.contents import MANIFEST_PATH, read_manifest

LIMIT_S: Final = 120.0
"""How long the networks and the code of a release may take with the probe photos; two seconds are usual."""

TIMED_AGAIN: Final = 2
CLEARLY: Final = 3.0
"""A release that is too slow by less than the second factor is timed again as often as the first says, and so is the
champion, before it is refused."""

_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
"""What the code of a release gets to see of our environment: no credentials."""

REHEARSE_ONLY: Final = "--rehearse-only"

_EXAMINE: Final = "from rollout.gates.examine import main; main()"

_ROOT: Final = Path(rollout.__file__ or "").parents[1]
"""Where our packages lie: a checkout or an environment's library."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of a release that passed."""

    release: str
    leaves: int
    graphs: int
    """ONNX files that were loaded and asked."""
    photos: int
    """Photos that it answered in the rehearsal."""
    median_ms: float
    """Of their times in ``animals``, one photo at a time, on this machine as busy as it was."""
    champion: str = ""
    champion_median_ms: float | None = None
    lost: tuple[str, ...] = ()
    """Species that the champion can name and this release cannot."""
    gained: tuple[str, ...] = ()
    """The other way round."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no reason to refuse it."""


def check_release(
    folder: Path, photos: Sequence[bytes] = (), *, champion: Path | None = None, limit_s: float = LIMIT_S
) -> Findings:
    """Check the release in ``folder``, a model repository, and compare it with the release in ``champion``, if given.

    Its files, manifest, taxonomy, labels and configurations are read here; its networks and its code answer probe
    photos, and ``photos`` beside them, in a process of their own. Raises ReleaseBroken with the first reason against
    it: also if that process ends or takes more than ``limit_s``, or if a photo takes more than ``bounds.max_slowdown``
    times as long as in the champion.
    """
    folder = folder.resolve()
    identity, release = check_files(folder)
    taxonomy = check_descriptions(folder, release)
    with tempfile.TemporaryDirectory(prefix="bestiary-gates-") as scratch:
        given = Path(scratch) / "photos"
        given.mkdir()
        for number, photo in enumerate(photos):
            (given / f"{number:04d}").write_bytes(photo)
        run = _Examiner(Path(scratch), given, limit_s)
        passed = run.examine(folder, identity)
        findings = Findings(identity, len(taxonomy), passed["graphs"], passed["photos"], passed["median_ms"])
        if champion is None:
            return findings
        return _compared(findings, folder, release, taxonomy, champion.resolve(), run)


@dataclass(frozen=True, slots=True)
class _Examiner:
    """Runs ``rollout.gates.examine`` on releases."""

    scratch: Path
    photos: Path
    limit_s: float

    def examine(self, folder: Path, identity: str, *options: str) -> dict[str, Any]:
        """What it found. Raises ReleaseBroken."""
        protocol, errors = self.scratch / "protocol", self.scratch / "errors"
        protocol.write_text("")
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", _EXAMINE, str(folder), identity, str(protocol), str(self.photos), *options],
                cwd=_ROOT,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
                | {"PYTHONDONTWRITEBYTECODE": "1"},  # or the release's folder held more than its files
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(self.limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started too
                process.wait()
        lines = [json.loads(line) for line in protocol.read_text(encoding="utf-8").splitlines()]
        end = lines[-1] if lines else {}
        if "passed" in end:
            passed: dict[str, Any] = end["passed"]
            return passed
        if "broken" in end:
            raise ReleaseBroken(f"Release {identity}: {end['broken']}")
        step = end.get("step", "starting")
        if code is None:
            raise ReleaseBroken(f"Release {identity} took more than {self.limit_s:g} s, while {step}.")
        last = _last_line(errors)
        raise ReleaseBroken(f"Release {identity} ended the process that tried it, while {step}: {_ending(code)}{last}.")


def _compared(
    findings: Findings, folder: Path, release: Release, taxonomy: Taxonomy, champion: Path, run: _Examiner
) -> Findings:
    """Findings with what the champion's folder adds. Raises ReleaseBroken if the release is too slow beside it."""
    try:
        identity, theirs = read_manifest((champion / MANIFEST_PATH).read_text(encoding="utf-8"))
        names = read_taxonomy(champion, theirs).species_names
    except (OSError, ReleaseBroken) as error:
        return replace(findings, notes=(f"The champion in {champion} could not be read: {error}",))
    ours = taxonomy.species_names
    findings = replace(
        findings,
        champion=identity,
        lost=tuple(name for name in names if name not in set(ours)),
        gained=tuple(name for name in ours if name not in set(names)),
    )
    try:
        beside = run.examine(champion, identity, REHEARSE_ONLY)["median_ms"]
        took = findings.median_ms
        for _ in range(TIMED_AGAIN):
            if not 1 < took / beside / release.bounds.max_slowdown < CLEARLY:
                break  # else the machine may have been busy: once more, in turn
            took = min(took, run.examine(folder, findings.release, REHEARSE_ONLY)["median_ms"])
            beside = max(beside, run.examine(champion, identity, REHEARSE_ONLY)["median_ms"])
    except ReleaseBroken as error:
        return replace(findings, notes=(f"It could not be timed beside the champion. {error}",))
    findings = replace(findings, median_ms=took, champion_median_ms=beside)
    if took > release.bounds.max_slowdown * beside:
        raise ReleaseBroken(
            f"Release {findings.release} takes {took:.0f} ms a photo, the champion {identity} {beside:.0f} ms: that is"
            f" {took / beside:.1f} times as long, and its bounds let it take {release.bounds.max_slowdown:g} times."
        )
    return findings


def _ending(code: int) -> str:
    try:
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _last_line(errors: Path) -> str:
    lines = errors.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({last[:200]})" if last else ""
