"""BentoML: a service of one worker a core (guide *Parallelize requests handling*), with or without adaptive batches."""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType
from network import Network, setting

BATCH = int(setting("BATCH", "1"))


@bentoml.service(name="classifier", workers=int(setting("WORKERS", "2")), traffic={"timeout": 10})
class Classifier:
    """The five best species of a photo."""

    def __init__(self) -> None:
        self.network = Network()

    if BATCH > 1:

        @bentoml.api(route="/classify", batchable=True, max_batch_size=BATCH, max_latency_ms=200)
        def classify(self, photos: list[Path]) -> list[dict[str, Any]]:
            """A batch that the dispatcher made of forms with one file each."""
            return self.network.name([self.network.decode(photo.read_bytes()) for photo in photos])

    else:

        @bentoml.api(route="/classify")
        def classify(self, photo: Annotated[bytes, ContentType("image/jpeg")], /) -> dict[str, Any]:
            """One photo, which is the request's whole body."""
            return self.network.classify(photo)
