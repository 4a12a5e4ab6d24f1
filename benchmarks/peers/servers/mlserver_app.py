"""MLServer: a custom runtime under parallel inference (``parallel_workers``), by a custom REST path or by KServe v2."""

from typing import Annotated, Any

from fastapi import Body
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse, RequestOutput, ResponseOutput
from network import Network


class Classifier(MLModel):
    """The five best species of a photo."""

    async def load(self) -> bool:
        """In each worker."""
        self.network = Network()
        return True

    @custom_handler(rest_path="/classify")
    async def classify(self, photo: Annotated[bytes, Body(media_type="application/octet-stream")]) -> dict[str, Any]:
        """One photo, which is the request's whole body."""
        return self.network.classify(photo)

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """KServe v2: a tensor of photos, one or a batch that MLServer made; out come five labels for each."""
        photos = list(payload.inputs[0].data)
        answers = self.network.name([self.network.decode(photo) for photo in photos])
        labels = [label for answer in answers for label in answer["labels"]]
        output: ResponseOutput = StringCodec.encode_output("LABELS", labels)
        output.shape = [len(answers), len(labels) // len(answers)]
        return InferenceResponse(model_name=self.name, outputs=[output])


__all__ = ["Classifier", "RequestOutput"]
