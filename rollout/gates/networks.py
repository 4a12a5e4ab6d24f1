"""The ONNX files of a release load, have the tensors of ``contract`` and answer with numbers that can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from contract.photo_status import PhotoError
from contract.preprocessing import IMAGE_SIZE, SCENE_SIZE
from contract.release import Release
from contract.tensors import CLASSIFIER, DETECTIONS, DETECTOR, IMAGE, SCENE, TensorSpec, probabilities
from imaging.decode import Pixels, decode_picture, stretched
from imaging.letterbox import letterbox
from rollout.errors import ReleaseBroken

Floats = npt.NDArray[np.float32]
Step = Callable[[str], None]
"""Is told what happens next, so that a crash can be told from another."""

SUM_ERROR: Final = 1e-3
"""How far a photo's probabilities may add up beside 1; a softmax in FP32 over 400 leaves is about 1e-6 off."""

BATCH_ERROR: Final = 1e-2
"""How far an answer may differ alone and in a batch: kernels for other sizes round otherwise, 8-bit ones by a step."""

_TYPES: Final = {"UINT8": "tensor(uint8)", "FP32": "tensor(float)"}


def check_networks(folder: Path, release: Release, leaves: int, photos: Sequence[bytes], step: Step) -> int:
    """Load and ask every ONNX file; how many there were. ``photos`` that cannot be decoded are left out.

    Raises ReleaseBroken for a file that does not load, a wrong name, datatype or shape, a number that is not finite,
    probabilities that do not sum to 1 and answers that are the same whatever the picture.
    """
    pictures = [picture for photo in photos if (picture := _decoded(photo)) is not None]
    scenes = np.stack([letterbox(picture, SCENE_SIZE) for picture in pictures])
    images = np.stack([stretched(picture, IMAGE_SIZE) for picture in pictures])
    count = 0
    for model, batch, source, target in (
        (DETECTOR, scenes, SCENE, DETECTIONS),
        (CLASSIFIER, images, IMAGE, probabilities(leaves)),
    ):
        for file in sorted((folder / model / str(release.models.get(model, 1))).glob("*.onnx")):
            path = file.relative_to(folder).as_posix()
            step(f"loading {path}")
            session = load(file, path)
            _check_tensor(path, "input", session.get_inputs(), source)
            _check_tensor(path, "output", session.get_outputs(), target)
            step(f"asking {path}")
            _check_answers(path, _ask(session, path, batch, source, target), target)
            count += 1
    return count


def load(file: Path, path: str) -> onnxruntime.InferenceSession:
    """A network on one thread. Raises ReleaseBroken naming ``path``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is in the exception
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other base
        raise ReleaseBroken(f"{path} cannot be loaded: {_short(error)}") from error


def _ask(
    session: onnxruntime.InferenceSession, path: str, batch: Pixels, source: TensorSpec, target: TensorSpec
) -> Floats:
    """Answers to all pictures one by one, after they were held against those of the whole batch."""

    def ask(pixels: Pixels) -> Any:
        try:
            return session.run([target.name], {source.name: pixels})[0]
        except Exception as error:  # as above
            raise ReleaseBroken(f"{path} fails on a picture: {_short(error)}") from error

    together, alone = ask(batch), [ask(picture[None]) for picture in batch]
    for count, answer in ((len(batch), together), *((1, one) for one in alone)):
        wanted = (count, *target.shape)
        if answer.shape != wanted or answer.dtype != np.float32:
            raise ReleaseBroken(
                f"{path} answers {target.name} {answer.dtype} {list(answer.shape)} for {count} pictures; FP32"
                f" {list(wanted)} is asked for."
            )
    singly: Floats = np.concatenate(alone)
    batched, single = (values[..., 4] if target is DETECTIONS else values for values in (together, singly))
    if np.isfinite(single).all() and not np.allclose(batched, single, rtol=0, atol=BATCH_ERROR):
        raise ReleaseBroken(
            f"{path} answers otherwise in a batch than alone: a request would depend on its neighbours."
        )
    return singly


def _check_tensor(path: str, which: str, found: Sequence[Any], spec: TensorSpec) -> None:
    told = [(one.name, one.type, tuple(one.shape)) for one in found]
    if len(told) == 1:
        name, datatype, (batch, *shape) = told[0]
        fixed = isinstance(batch, int) and batch >= 0
        if (name, datatype, tuple(shape), fixed) == (spec.name, _TYPES[spec.datatype], spec.shape, False):
            return
    says = ", ".join(f"{name} {kind} {list(shape)}" for name, kind, shape in told) or "nothing"
    wanted = f"{spec.name} {_TYPES[spec.datatype]} ['batch', {', '.join(map(str, spec.shape))}]"
    raise ReleaseBroken(f"{path}: its {which} has to be {wanted}; it is {says}.")


def _check_answers(path: str, answers: Floats, target: TensorSpec) -> None:
    if not np.isfinite(answers).all():
        raise ReleaseBroken(f"{path} answers with numbers that are not finite (NaN): its weights are broken.")
    scores = answers[..., 4] if target is DETECTIONS else answers
    if scores.min() < -SUM_ERROR or scores.max() > 1 + SUM_ERROR:
        raise ReleaseBroken(f"{path} answers scores from {scores.min():.3g} to {scores.max():.3g}; 0 to 1 can be.")
    if target is not DETECTIONS:
        off = np.abs(answers.sum(axis=1) - 1).max()
        if off > SUM_ERROR:
            raise ReleaseBroken(f"{path} answers probabilities whose sum is {off:.3g} beside 1.")
    if np.ptp(answers, axis=0).max() == 0:
        raise ReleaseBroken(f"{path} answers the same whatever the picture: its weights are broken.")


def _decoded(photo: bytes) -> Pixels | None:
    try:
        return decode_picture(photo).pixels
    except PhotoError:
        return None


def _short(error: BaseException) -> str:
    """The first line of an error's text, not longer than a line of a terminal or two."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
