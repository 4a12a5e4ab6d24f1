"""A machine that cannot run Triton is told so in one sentence."""

from __future__ import annotations

import platform
import socket
import sysconfig
from pathlib import Path

import pytest

from serving import wheel
from serving.errors import PreflightError
from serving.tritonserver import check_ports
from serving.wheel import check_platform, find_libpython, lay_out


def test_an_old_c_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(PreflightError, match=r"glibc 2\.35 or newer and this machine has 2\.31"):
        check_platform()


def test_musl_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with pytest.raises(PreflightError, match="another C library"):
        check_platform()


def test_another_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(PreflightError, match="aarch64"):
        check_platform()


def test_a_missing_libpython_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(wheel.sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(wheel, "SYSTEM_LIBRARIES", (tmp_path,))
    with pytest.raises(PreflightError, match="apt-get install libpython3"):
        find_libpython()


def test_the_layout_has_every_backend_and_replaces_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "backends" / "stale").mkdir(parents=True)
    layout = lay_out(tmp_path / "backends")
    assert sorted(folder.name for folder in layout.backends.iterdir()) == ["dali", "onnxruntime", "openvino", "python"]
    assert (layout.backends / "python" / "triton_python_backend_stub").is_file()
    assert layout.binary.is_file()


def test_a_taken_port_is_named_with_its_purpose() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PreflightError, match=rf"Port {port} \(gRPC\)"):
            check_ports("127.0.0.1", {"gRPC": port})
