"""The part of the gates that runs a release's networks and code, in a process of its own: whatever they do, only that
ends.

Its arguments are FOLDER IDENTITY PROTOCOL PHOTOS [--rehearse-only]. It writes a JSON object a line to the file
PROTOCOL: ``{"step": …}`` before each step, and in the end ``{"broken": …}`` or ``{"passed": …}``. PHOTOS is a folder of
photos beside those that every release is asked about.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from contract.release import Release
from rollout.errors import ReleaseBroken
from rollout.gates.check import REHEARSE_ONLY
from rollout.gates.descriptions import read_taxonomy
from rollout.gates.networks import check_networks
from rollout.gates.probes import probe_photos
from rollout.gates.rehearsal import rehearse
from rollout.store.contents import MANIFEST_PATH

ADDRESS_SPACE: Final = 16 << 30
"""Bytes that the process may map: a graph that asks for a terabyte fails instead of taking the machine along."""

NICENESS: Final = 5
"""Whoever publishes on a serving machine does not slow its answers down."""


def examine(folder: Path, identity: str, protocol: Path, photos: Path, rehearse_only: bool) -> None:
    """Ask the networks and then ``animals`` itself, and write down what comes of it."""
    with protocol.open("w", encoding="utf-8") as file:

        def write(**line: Any) -> None:
            print(json.dumps(line), file=file, flush=True)

        release = Release.model_validate_json((folder / MANIFEST_PATH).read_text(encoding="utf-8"))
        probes = probe_photos()
        given = [photo.read_bytes() for photo in sorted(photos.iterdir())]
        try:
            graphs = 0
            if not rehearse_only:
                leaves = len(read_taxonomy(folder, release))
                graphs = check_networks(folder, release, leaves, (*probes, *given), lambda what: write(step=what))
            rehearsed = rehearse(folder, identity, release, probes, given, lambda what: write(step=what))
        except ReleaseBroken as error:
            write(broken=str(error))
        else:
            write(passed=asdict(rehearsed) | {"graphs": graphs})


def main() -> None:
    """Take few rights, then :func:`examine`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    os.nice(NICENESS)
    folder, identity, protocol, photos, *options = sys.argv[1:]
    examine(Path(folder), identity, Path(protocol), Path(photos), REHEARSE_ONLY in options)
    os._exit(0)  # threads that a release started end with us
