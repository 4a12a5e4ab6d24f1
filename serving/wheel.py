"""The ``tritonserver`` that the ``nvidia-pytriton`` wheel carries, laid out the way Triton wants it.

Only the server binary is used, not PyTriton's decorator API. Triton takes its backends from one
directory, so :func:`lay_out` builds that directory: the wheel's ``python`` backend with the stub for
this interpreter, and ours, each a folder with a ``model.py``.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from serving.errors import PreflightError

MIN_GLIBC = (2, 35)
"""The wheel's platform tag is manylinux_2_35."""

OWN_BACKENDS = ("onnxruntime", "openvino", "dali")

SYSTEM_LIBRARIES = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib"))
"""Where distributions put a shared libpython that is not beside its interpreter."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the server binary and its backend directory are, and what its environment must say."""

    binary: Path
    backends: Path
    library_path: str
    python_bin: str


def check_platform() -> None:
    """Refuse a machine that the wheel cannot run on. Raises PreflightError with one sentence."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise PreflightError(
            f"Triton's wheel runs on Linux x86-64 only and this is {platform.system()} {platform.machine()}: "
            "run Bestiary there, or point the gateway at a Triton elsewhere (BESTIARY_TRITON_ADDRESS)."
        )
    name, version = platform.libc_ver()
    found = tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" and version else (0, 0)
    if found < MIN_GLIBC:
        raise PreflightError(
            f"Triton's wheel needs glibc {'.'.join(map(str, MIN_GLIBC))} or newer and this machine has "
            f"{version or 'another C library'}: use Debian 12, Ubuntu 22.04 or anything newer."
        )


def find_libpython() -> Path:
    """Folder of this interpreter's shared ``libpython``, which the Python backend's stub loads.

    Raises PreflightError with the package to install if there is none.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    own = (sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib")
    for folder in (*own, *SYSTEM_LIBRARIES):
        if folder and (Path(folder) / name).exists():
            return Path(folder)
    raise PreflightError(
        f"Triton's Python backend needs {name}, which this Python does not come with: install it "
        f"(Debian and Ubuntu: apt-get install libpython{version}), or use a Python built with --enable-shared "
        "and run `make up PYTHON=...`."
    )


def lay_out(target: Path) -> Layout:
    """Build the backend directory under ``target`` (replacing an old one) and describe the environment."""
    check_platform()
    libpython = find_libpython()
    server = _server_folder()
    stub = server / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    if not stub.is_dir():
        known = ", ".join(sorted(folder.name for folder in stub.parent.iterdir()))
        raise PreflightError(f"Triton's wheel has no stub for Python {stub.name}: use one of {known}.")
    if target.exists():
        shutil.rmtree(target)
    python = target / "python"
    shutil.copytree(server / "backends" / "python", python, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(stub / "triton_python_backend_stub", python)
    for name in OWN_BACKENDS:
        (target / name).mkdir()
        shutil.copy2(Path(__file__).parent / "backends" / name / "model.py", target / name)
    libraries = server.parent.parent / "nvidia_pytriton.libs"
    return Layout(
        binary=server / "bin" / "tritonserver",
        backends=target,
        library_path=os.pathsep.join((str(libraries), str(libpython))),
        python_bin=str(Path(sys.executable).parent),
    )


def _server_folder() -> Path:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise PreflightError("The nvidia-pytriton wheel is not installed: run `make install`.")
    return Path(spec.submodule_search_locations[0]) / "tritonserver"
