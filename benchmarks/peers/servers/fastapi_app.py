"""FastAPI + onnxruntime under uvicorn, one worker process a core (FastAPI's guide *Server Workers*).

``PEER_ENDPOINT``: ``def`` runs in the thread pool, as FastAPI advises for code that blocks; ``async`` runs in the event
loop itself, which saves the hop and takes one photo at a time.
"""

from typing import Annotated, Any

from fastapi import Body, FastAPI
from network import Network, setting

app = FastAPI()
network = Network()
Photo = Annotated[bytes, Body(media_type="application/octet-stream")]

if setting("ENDPOINT", "def") == "def":

    @app.post("/classify")
    def classify(photo: Photo) -> dict[str, Any]:
        """Names of one photo."""
        return network.classify(photo)

else:

    @app.post("/classify")
    async def classify_inline(photo: Photo) -> dict[str, Any]:
        """Names of one photo, in the event loop."""
        return network.classify(photo)


@app.get("/health")
def health() -> str:
    """Ready: the network is loaded before the first request."""
    return "ok"
