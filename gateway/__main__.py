"""``python -m gateway [--workers N]``: settings from the environment, logs to stderr, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from contract.manifest import MANIFEST_NAME
from gateway.errors import BestiaryError
from gateway.redaction import open_log
from gateway.secrets import resolve
from gateway.server import serve
from gateway.settings import Settings
from gateway.workers import supervise


def main() -> int:
    """Exit code: 0 stopped by a signal, 1 its stop took too long, 2 it could not start (one sentence on stderr)."""
    parser = argparse.ArgumentParser(prog="gateway", description="Settings: BESTIARY_... in the environment.")
    parser.add_argument("--workers", type=int, help="processes on the same ports; default 1, or BESTIARY_WORKERS")
    workers = parser.parse_args().workers
    if workers is not None:
        os.environ["BESTIARY_WORKERS"] = str(workers)
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        print(f"gateway: BESTIARY_{str(first['loc'][0]).upper()}: {first['msg']}.", file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f'gateway: {error}: give lists as JSON, e.g. ["a", "b"].', file=sys.stderr)
        return 2
    try:
        open_log(settings.log_level, "" if settings.worker is None else f"worker {settings.worker} ")
        if settings.workers > 1 and settings.worker is None:
            return asyncio.run(supervise(settings))
        uvloop.run(serve(resolve(settings)))
    except ValidationError as error:
        manifest = settings.release_dir / MANIFEST_NAME
        print(
            f"gateway: {manifest} is not a release manifest ({error.error_count()} faults): export the release "
            "again, or set BESTIARY_RELEASE_DIR.",
            file=sys.stderr,
        )
        return 2
    except (BestiaryError, OSError, ValueError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
