"""The Azurite emulator for tests, where it is installed: ``npm install --prefix build/emulators azurite@3.35.0``,
or the folder with its ``node_modules`` in ``BESTIARY_EMULATORS``.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.stack import ROOT, free_ports

ACCOUNT = "wildlife"
EMULATORS = Path(os.environ.get("BESTIARY_EMULATORS", ROOT / "build" / "emulators"))


def connection_string(port: int, account: str, key: str) -> str:
    """For an account of an emulator or fake on loopback."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{account};"
    )


@contextmanager
def running_azurite(folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Start it in memory on a free port; gives its connection string. Skips the test where it is not installed.

    With ``tls`` (certificate and key) it speaks https and takes bearer tokens, whose signature it does not look at.
    """
    program = EMULATORS / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    node = shutil.which("node")
    if node is None or not program.is_file():
        pytest.skip("no Azurite: npm install --prefix build/emulators azurite@3.35.0 (needs node)")
    port = free_ports(1)
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    command = [node, str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence",
               "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    if tls is not None:
        command += ["--cert", str(tls[0]), "--key", str(tls[1]), "--oauth", "basic"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    with (folder / "azurite.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "azurite.log")
        plain = connection_string(port, ACCOUNT, key)
        yield plain if tls is None else plain.replace("http:", "https:").replace("=http;", "=https;")
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Azurite does not answer:\n{log.read_text()}")
