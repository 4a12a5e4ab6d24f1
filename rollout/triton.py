"""One Triton over HTTP, as the sync agent needs it: load, unload, what is ready, and a real photo's answer.

Source: Triton's model repository extension and its binary tensor data extension of KServe v2.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import httpx

from contract.tensors import ANIMALS_OUTPUTS, PHOTO

ASK_S: Final = 5.0
"""Seconds that a question may take; loading has a limit of its own."""

_HEADER: Final = "Inference-Header-Content-Length"


class TritonAway(Exception):
    """Nobody answers there, or not in time; another try may succeed."""


class TritonRefused(Exception):
    """Triton says no: ``str()`` is its own text."""


class TritonControl:
    """The control side of one Triton. ``url``: its HTTP address, e.g. ``http://127.0.0.1:8000``."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=ASK_S, trust_env=False)

    async def load(self, model: str, timeout_s: float) -> None:
        """Load a model and wait for it. Raises TritonRefused, TritonAway; after the latter it may still be loading."""
        await self._post(f"/v2/repository/models/{model}/load", b"{}", timeout_s)

    async def unload(self, model: str) -> None:
        """Unload a model: no new request reaches it, and it ends when the last is answered. Raises as :meth:`load`."""
        await self._post(f"/v2/repository/models/{model}/unload", b"{}", ASK_S)

    async def states(self) -> dict[str, str]:
        """Models -> ``READY``, ``LOADING``, ``UNLOADING``, ``UNAVAILABLE``, or '' for one that was never loaded.
        Raises TritonAway, TritonRefused."""
        answer = await self._post("/v2/repository/index", b"{}", ASK_S)
        return {row["name"]: row.get("state", "") for row in answer.json()}

    async def infer(self, model: str, photo: bytes, timeout_s: float) -> dict[str, bytes]:
        """All outputs of an ``animals`` for one photo: name -> raw bytes. Raises TritonAway, TritonRefused."""
        element = struct.pack("<I", len(photo)) + photo
        header = json.dumps(
            {
                "inputs": [
                    {
                        "name": PHOTO.name,
                        "datatype": PHOTO.datatype,
                        "shape": [1, 1],
                        "parameters": {"binary_data_size": len(element)},
                    }
                ],
                "outputs": [{"name": spec.name, "parameters": {"binary_data": True}} for spec in ANIMALS_OUTPUTS],
            }
        ).encode()
        answer = await self._post(f"/v2/models/{model}/infer", header + element, timeout_s, {_HEADER: str(len(header))})
        return _outputs(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(
        self, path: str, body: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        limits = httpx.Timeout(ASK_S, read=timeout_s)
        try:
            answer = await self._client.post(path, content=body, headers=headers, timeout=limits)
        except httpx.TransportError as error:
            raise TritonAway(f"Triton does not answer at {self._client.base_url}: {type(error).__name__}.") from error
        if not answer.is_success:
            raise TritonRefused(_reason(answer))
        return answer


def _outputs(answer: httpx.Response) -> dict[str, bytes]:
    try:
        length = int(answer.headers[_HEADER])
        rows: list[dict[str, Any]] = json.loads(answer.content[:length])["outputs"]
        found, at = {}, length
        for row in rows:
            size = int(row["parameters"]["binary_data_size"])
            found[str(row["name"])] = answer.content[at : at + size]
            at += size
    except (KeyError, ValueError, TypeError) as error:
        raise TritonRefused(f"its answer cannot be read ({error!r})") from error
    return found


def _reason(answer: httpx.Response) -> str:
    try:
        text = str(answer.json()["error"])
    except (KeyError, ValueError, TypeError):
        text = f"status {answer.status_code}"
    return " ".join(text.split())[:500]
