"""OpenVINO says nothing to anybody."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import socket, sys

def refuse(*arguments):
    raise SystemExit("a connection was tried: " + repr(arguments))

socket.create_connection = socket.getaddrinfo = socket.socket.connect = refuse
from contract.engines import import_openvino
openvino = import_openvino()
assert openvino.Core
print(sorted(name for name in sys.modules if name.startswith("openvino_telemetry") and sys.modules[name] is not None))
print(openvino.tools.ovc.telemetry_utils.tm.__name__)
"""


def test_it_is_imported_without_its_telemetry() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["[]", "openvino.tools.ovc.telemetry_stub"], done.stderr


def test_nobody_imports_it_in_another_way() -> None:
    folders = [ROOT / name for name in ("benchmarks", "cli", "export", "serving", "training", "tuning")]
    found = [
        str(file.relative_to(ROOT))
        for folder in folders
        for file in sorted(folder.rglob("*.py"))
        if re.search(r"^\s*(import|from) openvino|import_module\(.openvino.\)", file.read_text(), re.MULTILINE)
    ]
    assert found == []
