"""The public model ``animals``: encoded photos in, counted and named animals out, by calling the models beside it."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # only inside Triton's stub process

from contract.manifest import MANIFEST_NAME, TAXONOMY_NAME, identity_of, loading_mark, suffix_of
from contract.options import Options, OptionsError, read_options
from contract.taxonomy import parse_taxonomy
from contract.tensors import DECODER, PHOTO
from serving.models.errors import ModelCallError
from serving.models.gentle import gently


class TritonPythonModel:
    """One release's pipeline for a whole batch at a time.

    Served as ``animals.TAG`` it uses ``detector.TAG``, ``classifier.TAG`` and ``preprocess.TAG`` alone, so that no
    photo is seen by the networks of two releases.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the manifest and the taxonomy that lie beside ``model.py``, and load the networks.

        Gently, if another release answers photos meanwhile (``contract.manifest.loading_mark``).
        """
        folder = Path(args["model_repository"]) / args["model_version"]
        suffix = suffix_of(args["model_name"])
        config = json.loads(args["model_config"])
        with gently(folder.parents[1] / loading_mark(suffix)) as run:
            run(lambda: self._load(folder, suffix, config.get("parameters", {})))
        gc.freeze()  # what is loaded by now stays: no collection need walk it while photos wait

    def _load(self, folder: Path, suffix: str, parameters: Mapping[str, Any]) -> None:
        from serving.models.decoding import Call, Decoder, InlineDecoder, PreprocessDecoder
        from serving.models.naming import Naming
        from serving.models.networks import InlineNetworks, choose, has_amx
        from serving.models.pipeline import Pipeline
        from serving.models.replies import Blanks

        manifest = (folder / MANIFEST_NAME).read_text()
        release = json.loads(manifest)  # its schema was checked by export; validating it again takes 0.2 s a process
        taxonomy = parse_taxonomy((folder / TAXONOMY_NAME).read_text())
        self._suffix = suffix
        self._versions: dict[str, int] = release["models"]
        self._identity = identity_of(release["name"], manifest).encode()
        thresholds: dict[str, float] = release["thresholds"]
        self._blanks = Blanks()
        self._naming = Naming(taxonomy, thresholds)
        inline = parameters.get(DECODER, {}).get("string_value", "inline") == "inline"
        decoder: Decoder = InlineDecoder() if inline else PreprocessDecoder(self._call)
        words = {key: value["string_value"] for key, value in parameters.items()}
        bf16 = has_amx()
        chosen = {model: found for model in self._versions if (found := choose(model, words, bf16=bf16)) is not None}
        call: Call = self._call
        if chosen:
            files = {
                model: folder.parents[1] / f"{model}{suffix}" / str(self._versions[model]) / file
                for model, (file, _) in chosen.items()
            }
            networks = InlineNetworks(files, self._call, {model: engine for model, (_, engine) in chosen.items()})
            networks.warm_up()
            call = networks
        self._pipeline = Pipeline(call, decoder, len(taxonomy), thresholds["detect_from"], thresholds["overlap"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Input PHOTO BYTES [B, 1] per request, parameters as in ``contract.options``; outputs as in
        ``contract.tensors.ANIMALS_OUTPUTS``.

        A bad photo is said in its row of STATUS, bad parameters fail their request alone. A failed model call
        fails the requests of this batch with that model's error. Deadlines count in the queue in front of this
        model only: an inner one would let the caller in the greatest hurry decide for its neighbours in the batch.
        """
        asked = [_options(request) for request in requests]
        good = [request for request, options in zip(requests, asked, strict=True) if isinstance(options, Options)]
        answers = iter(self._answer(good, [options for options in asked if isinstance(options, Options)]))
        return [next(answers) if isinstance(options, Options) else options for options in asked]

    def finalize(self) -> None:
        """The model is unloaded."""
        self._pipeline.close()

    def _answer(self, requests: list[Any], asked: list[Options]) -> list[Any]:
        inputs = [pb_utils.get_input_tensor_by_name(request, PHOTO.name).as_numpy().ravel() for request in requests]
        photos = [photo for photos in inputs for photo in photos]
        options = [options for photos, options in zip(inputs, asked, strict=True) for _ in photos]
        try:
            found, spans = self._pipeline.run(photos, options)
        except ModelCallError as error:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))) for _ in requests]
        from serving.models.replies import Replies

        replies = Replies(found, spans, self._identity, requests, self._blanks)
        replies.name(found, self._naming)
        return replies.split([len(photos) for photos in inputs])

    def _call(self, model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        request = pb_utils.InferenceRequest(
            model_name=f"{model}{self._suffix}",
            model_version=self._versions[model],
            requested_output_names=list(wanted),
            inputs=[pb_utils.Tensor(name, tensor) for name, tensor in inputs.items()],
        )
        response = request.exec()
        if response.has_error():
            raise ModelCallError(response.error().message())
        # Copied, because the array lies in shared memory that goes with its tensor.
        return {tensor.name(): tensor.as_numpy().copy() for tensor in response.output_tensors()}


def _options(request: Any) -> Options | Any:
    """The request's options, or the response that says what is wrong with them."""
    try:
        return read_options(json.loads(request.parameters() or "{}"))
    except OptionsError as error:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
