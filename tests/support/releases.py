"""Releases for tests: copies of the committed one under another name, sound or spoiled in one way each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME
from contract.release import Release
from export.layout import DETECTOR_PATH, INT8_PATH, LABELS_PATH, MANIFEST_PATH, ONNX_PATH, file_digests
from tests.support.stack import ROOT

REPOSITORY: Final = ROOT / "model_repository"
"""The committed release."""

MODEL_PATH: Final = MANIFEST_PATH.replace(MANIFEST_NAME, "model.py")
TAXONOMY_PATH: Final = MANIFEST_PATH.replace(MANIFEST_NAME, TAXONOMY_NAME)

NAPS_S: Final = 0.3
"""How long the release ``slow`` sleeps over each photo: more than ten times what `animals` needs."""


def make_release(folder: Path, name: str = "copy", spoil: str = "", base: Path = REPOSITORY) -> str:
    """Copy the release ``base`` to ``folder``, which must not exist, as release ``name``; its identity.

    ``spoil``: a key of ``SPOILT``; its digests fit all the same, except those of ``digest mismatch``. Those of the
    networks need the package onnx.
    """
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("__pycache__"))
    seal(folder, name)
    if spoil:
        SPOILT[spoil](folder)
    if spoil != "digest mismatch":
        seal(folder, name)
    return read_release(folder).identity


def read_release(folder: Path) -> Release:
    """The manifest of the release in ``folder``."""
    return Release.model_validate_json((folder / MANIFEST_PATH).read_text(encoding="utf-8"))


def seal(folder: Path, name: str, **changes: Any) -> str:
    """Write the manifest anew, with the digests that the files have now and other ``changes``; the identity."""
    release = read_release(folder).model_copy(update={"name": name, "files": file_digests(folder), **changes})
    (folder / MANIFEST_PATH).write_text(release.to_json(), encoding="utf-8")
    return release.identity


def _corrupt_onnx(folder: Path) -> None:
    for path in (ONNX_PATH, INT8_PATH):
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: len(content) // 3])


def _wrong_shape(folder: Path) -> None:
    """The classifier answers one leaf less than the taxonomy has."""

    def cut(model: Any, inner: str, output: Any) -> None:
        _constant(model, "kept", np.arange(_leaves(output) - 1))
        _node(model, "Gather", [inner, "kept"], output.name, axis=1)
        output.type.tensor_type.shape.dim[1].dim_value -= 1

    _for_classifier(folder, cut)


def _nan(folder: Path) -> None:
    """Every probability is NaN."""

    def poison(model: Any, inner: str, output: Any) -> None:
        _constant(model, "nan", np.array(np.nan, np.float32))
        _node(model, "Mul", [inner, "nan"], output.name)

    _for_classifier(folder, poison)


def _contrary(folder: Path) -> None:
    """Sound, but every animal is named as the leaf 50 rows further on."""

    def turn(model: Any, inner: str, output: Any) -> None:
        animals = _leaves(output) - 1
        _constant(model, "turned", np.append(np.roll(np.arange(animals), 50), animals))
        _node(model, "Gather", [inner, "turned"], output.name, axis=1)

    _for_classifier(folder, turn)


def _slow_network(folder: Path) -> None:
    """The detector also multiplies matrices, for many times its own work, and adds nothing to its answers by that."""
    side, times = 512, 120

    def burden(model: Any, inner: str, output: Any) -> None:
        _constant(model, "burden_zero", np.array(0, np.float32))
        _constant(model, "burden_matrix", np.full((side, side), 1 / side, np.float32))
        _node(model, "Cast", [model.graph.input[0].name], "burden_float", to=1)
        _node(model, "ReduceMax", ["burden_float"], "burden_max", keepdims=0)
        _node(model, "Mul", ["burden_max", "burden_zero"], "burden_nothing")
        _node(model, "Add", ["burden_matrix", "burden_nothing"], "burden_0")
        for turn in range(times):
            _node(model, "MatMul", [f"burden_{turn}", "burden_matrix"], f"burden_{turn + 1}")
        _node(model, "ReduceMax", [f"burden_{times}"], "burden_end", keepdims=0)
        _node(model, "Mul", ["burden_end", "burden_zero"], "burden_none")
        _node(model, "Add", [inner, "burden_none"], output.name)

    _change_output(folder / DETECTOR_PATH, burden)


def _missing_label(folder: Path) -> None:
    _drop_line(folder / LABELS_PATH, 7)


def _missing_leaf(folder: Path) -> None:
    _drop_line(folder / TAXONOMY_PATH, 8)


def _digest_mismatch(folder: Path) -> None:
    with (folder / DETECTOR_PATH).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))


def _model(code: str) -> Callable[[Path], None]:
    """``model.py`` with another content."""

    def write(folder: Path) -> None:
        (folder / MODEL_PATH).write_text(f'"""Spoilt for a test."""\n\n{code}', encoding="utf-8")

    return write


_INHERIT = "from serving.models.animals import TritonPythonModel as Sound\n\n\nclass TritonPythonModel(Sound):\n"

_SLOW = f"""import time

from serving.models import decoding
from serving.models.animals import TritonPythonModel  # noqa: F401

quickly = decoding.opened


def slowly(photo, task):
    time.sleep({NAPS_S})
    return quickly(photo, task)


decoding.opened = slowly
"""

_FAILS = """    def execute(self, requests):
        raise RuntimeError("this release cannot answer")
"""

_HANGS = """    def initialize(self, args):
        import time

        time.sleep(3600)
"""

SPOILT: Final[Mapping[str, Callable[[Path], None]]] = MappingProxyType(
    {
        "corrupt onnx": _corrupt_onnx,
        "wrong shape": _wrong_shape,
        "missing label": _missing_label,
        "missing leaf": _missing_leaf,
        "digest mismatch": _digest_mismatch,
        "raises at load": _model('raise RuntimeError("this release cannot be loaded")\n'),
        "exits at load": _model("import os\n\nos._exit(3)\n"),
        "crashes at load": _model("import os\nimport signal\n\nos.kill(os.getpid(), signal.SIGSEGV)\n"),
        "hangs at load": _model(_INHERIT + _HANGS),
        "fails every request": _model(_INHERIT + _FAILS),
        "nan": _nan,
        "slow": _model(_SLOW),
        "slow network": _slow_network,
        "contrary": _contrary,
    }
)
"""What can be wrong -> how it is brought about in a release's folder. ``contrary`` alone passes every check of a
release by itself: it is wrong about every animal, which only its disagreement with the champion shows."""


def _drop_line(file: Path, number: int) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    del lines[number]
    file.write_text("".join(lines), encoding="utf-8")


Change = Callable[[Any, str, Any], None]
"""Gets the model, the name that its one output's tensor has now, and the output, which a new node has to make."""


def _for_classifier(folder: Path, change: Change) -> None:
    for path in (ONNX_PATH, INT8_PATH):
        _change_output(folder / path, change)


def _change_output(file: Path, change: Change) -> None:
    import onnx

    model = onnx.load(file)
    (output,) = model.graph.output
    inner = f"{output.name}.before"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    change(model, inner, output)
    onnx.save(model, file)


def _leaves(output: Any) -> int:
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def _constant(model: Any, name: str, values: Any) -> None:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(values, name))


def _node(model: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
    from onnx import helper

    model.graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
