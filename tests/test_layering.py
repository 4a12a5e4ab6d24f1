"""The dependency rules of ARCHITECTURE.md, read off the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.stack import ROOT

PACKAGES = (
    "benchmarks",
    "cli",
    "contract",
    "export",
    "gateway",
    "imaging",
    "interchange",
    "loadtest",
    "postprocess",
    "rollout",
    "serving",
    "training",
)

MAY_IMPORT = {
    "contract": set(),
    "imaging": {"contract"},
    "postprocess": {"contract"},
    "interchange": {"contract"},
    "serving": {"contract", "imaging", "postprocess"},
    "rollout": {"contract"},
    "rollout/gates": {"contract", "imaging", "rollout"},
    "gateway": {"contract", "imaging", "rollout"},
    "loadtest": {"contract"},
    "training": {"contract", "imaging", "postprocess"},
    "export": {"contract", "imaging", "postprocess", "training"},
}
"""Which packages of ours each package may import. ``cli`` composes and may import all. A part that is listed by itself
is no part of its package here: the gates, which only whoever publishes needs, decode photos and run networks."""

NEVER = {
    "contract": {"grpc", "fastapi", "torch", "tritonclient", "numpy", "cv2", "sqlite3"},
    "gateway": {"torch", "onnxruntime", "onnx", "cv2", "simplejpeg"},
    "serving": {"torch", "fastapi"},
    "rollout": {"torch", "onnx", "onnxruntime", "cv2"},
    "rollout/gates": {"torch", "onnx"},
}
"""Third-party packages that must not enter a package's environment."""

CLASSIFY_MAY_IMPORT = {"contract", "gateway.errors", "gateway.ports"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, at any level of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def files(package: str) -> list[Path]:
    apart = [ROOT / other for other in MAY_IMPORT if other.startswith(f"{package}/")]
    found = (path for path in (ROOT / package).rglob("*.py") if "generated" not in path.parts)
    return sorted(path for path in found if not any(path.is_relative_to(other) for other in apart))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in files(package):
        ours = {name.split(".")[0] for name in imports(path)} & set(PACKAGES)
        assert ours <= MAY_IMPORT[package] | {package}, path


def test_only_who_publishes_imports_the_gates() -> None:
    for package in PACKAGES:
        if package not in ("cli", "rollout"):
            for path in files(package):
                assert not {name for name in imports(path) if name.startswith("rollout.gates")}, path
    for path in files("rollout"):
        assert not {name for name in imports(path) if name.startswith("rollout.gates")}, path


@pytest.mark.parametrize("package", NEVER)
def test_heavy_packages_stay_out(package: str) -> None:
    for path in files(package):
        outside = {name.split(".")[0] for name in imports(path)}
        assert not outside & NEVER[package], path


def test_the_use_case_knows_no_protocol_and_no_store() -> None:
    for name in imports(ROOT / "gateway" / "classify.py"):
        if name.split(".")[0] in PACKAGES:
            assert any(name == allowed or name.startswith(allowed + ".") for allowed in CLASSIFY_MAY_IMPORT), name
        assert name.split(".")[0] not in {"grpc", "fastapi", "tritonclient", "sqlite3", "azure"}, name


def test_edges_do_not_touch_storage() -> None:
    for path in files("gateway/edge"):
        assert not {name for name in imports(path) if name.startswith("gateway.storage")}, path


def test_what_serves_installs_no_torch() -> None:
    lock = (ROOT / "requirements" / "serve.txt").read_text()
    assert "\ntorch==" not in lock
    assert "\nonnx==" not in lock


def test_locks_name_no_download_address() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock
