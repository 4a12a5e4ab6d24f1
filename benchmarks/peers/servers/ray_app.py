"""Ray Serve: one replica a core (guide *Performance Tuning*), with or without dynamic request batching."""

from typing import Any

import ray
from network import Network, setting
from ray import serve
from starlette.requests import Request

BATCH = int(setting("BATCH", "1"))
REPLICAS = int(setting("WORKERS", "2"))


class Classifier:
    """The five best species of a photo."""

    def __init__(self) -> None:
        self.network = Network()

    @serve.batch(max_batch_size=max(BATCH, 2), batch_wait_timeout_s=0.005)
    async def together(self, photos: list[bytes]) -> list[dict[str, Any]]:
        """A batch that Serve made."""
        return self.network.name([self.network.decode(photo) for photo in photos])

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One photo, which is the request's whole body."""
        photo = await request.body()
        if BATCH > 1:
            return await self.together(photo)
        return self.network.classify(photo)


if __name__ == "__main__":
    ray.init(address="local", num_cpus=REPLICAS, include_dashboard=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(setting("PORT"))}, logging_config={"log_level": "WARNING"}
    )
    deployment = serve.deployment(
        num_replicas=REPLICAS,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=int(setting("ONGOING", "5")),
    )(Classifier)
    serve.run(deployment.bind(), name="classifier", route_prefix="/classify", blocking=True)
