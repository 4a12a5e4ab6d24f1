"""TorchServe: a custom handler (guide *Custom Service*), one worker a core, with or without batches."""

from typing import Any

from network import Network

_network: Network | None = None


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[dict[str, Any]] | None:
    """A batch of requests; called once with None when the worker loads."""
    global _network  # noqa: PLW0603  # TorchServe's functional handlers keep their state so
    if _network is None:
        _network = Network()
    if not data:
        return None
    return _network.name([_network.decode(bytes(row.get("body") or row.get("data"))) for row in data])
