"""A release's own ``model.py`` answers a few photos, in this process and without Triton."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from google.protobuf import json_format

from contract.photo_status import PhotoStatus
from contract.release import Release
from contract.tensors import ANIMALS, ANIMALS_OUTPUTS, PHOTO, RELEASE, STATUS, TensorSpec
from rollout.errors import ReleaseBroken
from rollout.gates.descriptions import read_config, served_file
from rollout.gates.networks import Step, load
from rollout.gates.stand_in import InferenceRequest, Tensor, install

ROUNDS: Final = 5
"""How often each photo is asked about; of its times the shortest counts, as others may be using the machine."""

ENOUGH_S: Final = 0.25
"""A photo that took so long in all is not asked about again."""

_DTYPES: Final = {"FP32": "f", "INT32": "i", "BYTES": "O"}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How many photos were answered, and the median of their shortest times in ms."""

    photos: int
    median_ms: float


def rehearse(
    folder: Path, identity: str, release: Release, probes: Sequence[bytes], photos: Sequence[bytes], step: Step
) -> Rehearsed:
    """Load ``animals`` as the cpu profile does, and ask about every photo one at a time.

    ``probes`` have to be answered; of ``photos`` those that cannot be decoded may be refused. Raises ReleaseBroken
    if the model cannot be loaded, fails, says that it is another release, or its outputs are not as
    ``contract.tensors`` has them or hold numbers that are not finite.
    """
    version = str(release.models[ANIMALS])
    config = read_config(folder / ANIMALS / "config.pbtxt")
    install(_Beside(folder, release))
    step(f"loading {ANIMALS}/{version}/model.py")
    model = _load(folder / ANIMALS / version / "model.py", _arguments(folder, version, config))
    step("answering photos")
    times = []
    for number, photo in enumerate((*probes, *photos)):
        status, took = _asked(model, photo, identity)
        if status.answered:
            times.append(took)
        elif number < len(probes):
            raise ReleaseBroken(f"{ANIMALS} refuses a sound photo: {status.name.lower()}.")
    step("ending")
    if hasattr(model, "finalize"):
        model.finalize()
    return Rehearsed(len(times), round(median(times), 2))


class _Beside:
    """Answers for the networks that ``animals`` calls instead of running them itself."""

    def __init__(self, folder: Path, release: Release) -> None:
        self._folder, self._release = folder, release
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def __call__(
        self, model: str, inputs: Mapping[str, npt.NDArray[Any]], wanted: tuple[str, ...]
    ) -> Mapping[str, npt.NDArray[Any]]:
        session = self._sessions.get(model)
        if session is None:
            file = served_file(read_config(self._folder / model / "config.pbtxt"))
            if not file.endswith(".onnx"):
                raise ValueError(f"{model} cannot decode here: without Triton only ONNX files are run.")
            path = f"{model}/{self._release.models[model]}/{file}"
            session = self._sessions[model] = load(self._folder / path, path)
        return dict(zip(wanted, session.run(list(wanted), dict(inputs)), strict=True))


def _arguments(folder: Path, version: str, config: Any) -> dict[str, str]:
    """What Triton hands to ``initialize`` (python_backend, README, "initialize")."""
    return {
        "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
        "model_instance_name": f"{ANIMALS}_0_0",
        "model_repository": str(folder / ANIMALS),
        "model_version": version,
        "model_name": ANIMALS,
    }


def _load(file: Path, arguments: dict[str, str]) -> Any:
    spec = importlib.util.spec_from_file_location("release_model", file)
    if spec is None or spec.loader is None:
        raise ReleaseBroken(f"{ANIMALS}: {file.name} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        model = module.TritonPythonModel()
        model.initialize(arguments)
    except (Exception, SystemExit) as error:  # its code may do anything
        raise ReleaseBroken(f"{ANIMALS}: {file.name} cannot be loaded: {_told(error)}") from error
    return model


def _answer(model: Any, photo: bytes) -> dict[str, npt.NDArray[Any]]:
    """Outputs by name for one photo with the default options."""
    request = InferenceRequest(
        requested_output_names=[spec.name for spec in ANIMALS_OUTPUTS],
        inputs=[Tensor(PHOTO.name, np.array([[photo]], np.object_))],
    )
    try:
        (response,) = model.execute([request])
    except (Exception, SystemExit) as error:  # as above
        raise ReleaseBroken(f"{ANIMALS} fails on a photo: {_told(error)}") from error
    if response.has_error():
        raise ReleaseBroken(f"{ANIMALS} fails on a photo: {response.error().message()}")
    return {tensor.name(): np.asarray(tensor.as_numpy()) for tensor in response.output_tensors()}


def _asked(model: Any, photo: bytes, identity: str) -> tuple[PhotoStatus, float]:
    """What became of a photo, and the shortest of its times in ms."""
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) < ENOUGH_S * 1e3:
        began = time.perf_counter()
        outputs = _answer(model, photo)
        times.append((time.perf_counter() - began) * 1e3)
    return _check(outputs, identity), min(times)


def _check(outputs: Mapping[str, npt.NDArray[Any]], identity: str) -> PhotoStatus:
    for spec in ANIMALS_OUTPUTS:
        _check_output(spec, outputs.get(spec.name))
    said = bytes(outputs[RELEASE.name].ravel()[0]).decode(errors="replace")
    if said != identity:
        raise ReleaseBroken(f"{ANIMALS} says that it is release {said}; its manifest says {identity}.")
    return PhotoStatus(int(outputs[STATUS.name].ravel()[0]))


def _check_output(spec: TensorSpec, values: npt.NDArray[Any] | None) -> None:
    if values is None:
        raise ReleaseBroken(f"{ANIMALS} does not answer with {spec.name}.")
    if values.shape != (1, *spec.shape) or values.dtype.kind != _DTYPES[spec.datatype]:
        raise ReleaseBroken(
            f"{ANIMALS} answers {spec.name} {values.dtype} {list(values.shape)}; {spec.datatype}"
            f" {[1, *spec.shape]} is asked for."
        )
    if spec.datatype == "FP32" and not np.isfinite(values).all():
        raise ReleaseBroken(f"{ANIMALS} answers {spec.name} with numbers that are not finite (NaN).")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
