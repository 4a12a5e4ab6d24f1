"""The public model ``animals``: encoded photos in, named animals out, by calling the models beside it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME, identity_of
from contract.photo_status import PhotoStatus
from contract.taxonomy import parse_taxonomy
from contract.tensors import (
    CLASSIFIER,
    ENCODED,
    IMAGE,
    IMAGE_WIDTH_HEIGHT,
    PHOTO,
    PREPROCESS,
    STATUS,
    probabilities,
)
from serving.models.replies import Replies
from serving.models.species import SpeciesRanking


class ModelCallError(Exception):
    """A model behind ``animals`` failed; ``str()`` is Triton's text.

    Only the text is kept: Triton's error object belongs to a response that is gone by the time this is answered,
    and handing it on has crashed the server.
    """

    @property
    def input_is_bad(self) -> bool:
        """Whether DALI failed to decode this photo. Triton makes every error of a called model INTERNAL, so
        only the text tells: ours, and that of the native backend, which names the operator."""
        return "could not be decoded" in str(self) or "decoders__" in str(self).lower()


class TritonPythonModel:
    """One release's pipeline: ``preprocess`` → ``classifier`` → species, for a whole batch at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the manifest and the taxonomy that lie beside ``model.py``."""
        folder = Path(args["model_repository"]) / args["model_version"]
        manifest = (folder / MANIFEST_NAME).read_text()
        release = json.loads(manifest)  # its schema was checked by export; validating it again takes 0.2 s a process
        taxonomy = parse_taxonomy((folder / TAXONOMY_NAME).read_text())
        self._versions: dict[str, int] = release["models"]
        self._identity = identity_of(release["name"], manifest).encode()
        self._ranking = SpeciesRanking(taxonomy)
        self._output = probabilities(len(taxonomy)).name

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Input PHOTO BYTES [B, 1] per request; outputs as in ``contract.tensors.ANIMALS_OUTPUTS``.

        A bad photo is said in its row of STATUS. A failed model call fails the requests of this batch
        with that model's error. Deadlines count in the queue in front of this model only: an inner one would
        let the caller in the greatest hurry decide for its neighbours in the batch.
        """
        started = time.perf_counter()
        counts = [len(pb_utils.get_input_tensor_by_name(request, PHOTO.name).as_numpy()) for request in requests]
        photos = [
            photo
            for request in requests
            for photo in pb_utils.get_input_tensor_by_name(request, PHOTO.name).as_numpy().reshape(-1)
        ]
        try:
            images, replies = await self._decode(photos)
            decoded = time.perf_counter()
            await self._classify(images, replies)
        except ModelCallError as error:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        ended = time.perf_counter()
        replies.timings_ms[:] = [(at - since) * 1e3 for since, at in _spans(started, decoded, ended)]
        return replies.split(requests, counts)

    async def _decode(self, photos: list[bytes]) -> tuple[dict[int, Any], Replies]:
        """Pixels by row of the photos that could be read, and replies with status and size filled in."""
        replies = Replies(len(photos), self._identity)
        rows = [row for row, photo in enumerate(photos) if photo]
        replies.status[:] = PhotoStatus.EMPTY
        encoded = [np.frombuffer(photos[row], np.uint8)[None] for row in rows]
        answers = await asyncio.gather(*(self._decode_one(tensor) for tensor in encoded))
        images: dict[int, Any] = {}
        for row, answer in zip(rows, answers, strict=True):
            if answer is None:
                replies.status[row] = PhotoStatus.CORRUPT
                continue
            replies.status[row] = answer[STATUS.name].as_numpy()[0]
            replies.sizes[row] = answer[IMAGE_WIDTH_HEIGHT.name].as_numpy()[0]
            if replies.status[row, 0] == PhotoStatus.OK:
                images[row] = answer[IMAGE.name].as_numpy()
        return images, replies

    async def _decode_one(self, encoded: Any) -> dict[str, Any] | None:
        """The reply of ``preprocess``, or None where it blames the photo."""
        try:
            return await self._call(PREPROCESS, ENCODED.name, encoded)
        except ModelCallError as error:
            if error.input_is_bad:
                return None
            raise

    async def _classify(self, images: dict[int, Any], replies: Replies) -> None:
        if not images:
            return
        batch = next(iter(images.values())) if len(images) == 1 else np.concatenate(list(images.values()))
        answer = await self._call(CLASSIFIER, IMAGE.name, batch)
        replies.name_species(list(images), self._ranking, answer[self._output].as_numpy())

    async def _call(self, model: str, name: str, tensor: Any) -> dict[str, Any]:
        request = pb_utils.InferenceRequest(
            model_name=model,
            model_version=self._versions[model],
            requested_output_names=_OUTPUTS[model],
            inputs=[pb_utils.Tensor(name, tensor)],
        )
        response = await request.async_exec()
        if response.has_error():
            raise ModelCallError(response.error().message())
        return {tensor.name(): tensor for tensor in response.output_tensors()}


_OUTPUTS = {
    PREPROCESS: [IMAGE.name, STATUS.name, IMAGE_WIDTH_HEIGHT.name],
    CLASSIFIER: [probabilities(0).name],
}


def _spans(started: float, decoded: float, ended: float) -> tuple[tuple[float, float], ...]:
    """Start and end of each of ``contract.tensors.TIMING_STAGES``."""
    return (started, decoded), (decoded, ended), (started, ended)
