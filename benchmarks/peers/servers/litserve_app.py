"""LitServe: workers beside the HTTP process (``workers_per_device``), with or without batches (guide *Batching*)."""

from typing import Annotated, Any

import litserve
from fastapi import Body
from network import Network, setting

BATCH = int(setting("BATCH", "1"))


class Classifier(litserve.LitAPI):
    """The five best species of a photo."""

    def setup(self, device: str) -> None:
        """In each worker."""
        self.network = Network()

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Any:
        """Bytes to pixels, in the worker."""
        return self.network.decode(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As they are: the network stacks them."""
        return inputs

    def predict(self, images: Any) -> Any:
        """One image, or a list where batches are made."""
        return self.network.name(images) if BATCH > 1 else self.network.name([images])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        """One answer for each image."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """JSON as it is."""
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=float(setting("BATCH_S", "0.005")), api_path="/classify")
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=int(setting("WORKERS", "2")),
        fast_queue=setting("FAST_QUEUE") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=int(setting("PORT")),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
