"""A model server that speaks Triton's gRPC and answers every photo with one species; no model behind it."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from contract.answer import failed_row
from contract.photo_status import PhotoStatus
from contract.taxonomy import Depth, parse_taxonomy
from contract.tensors import (
    ANIMALS,
    ANIMALS_OUTPUTS,
    RELEASE,
    SPECIES_IDS,
    SPECIES_SCORES,
    TAXON,
    TAXON_SCORE,
    TIMINGS_MS,
    TOP_K,
)
from tests.support.stack import ROOT

_TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())


def answer_row(key: str = "beagle", score: float = 0.9) -> dict[str, bytes]:
    """Every output of ``animals`` for one photo, which shows the leaf ``key``."""
    index = _TAXONOMY.by_key(key).index
    return failed_row(PhotoStatus.OK) | {
        TAXON.name: struct.pack("<2i", index, Depth.SPECIES),
        TAXON_SCORE.name: struct.pack("<f", score),
        SPECIES_IDS.name: struct.pack(f"<{TOP_K}i", index, *[-1] * (TOP_K - 1)),
        SPECIES_SCORES.name: struct.pack(f"<{TOP_K}f", score, *[0.0] * (TOP_K - 1)),
    }


@dataclass
class FakeModel:
    """How one ``animals`` model answers."""

    release: str = ""
    row: dict[str, bytes] = field(default_factory=answer_row)
    failure: tuple[grpc.StatusCode, str] | None = None
    model_ms: float = 10.0
    """What it says that it took, which nobody waits for."""
    delay_s: float = 0.0
    asked: int = 0

    def output(self, name: str) -> bytes:
        """One output's bytes."""
        if name == RELEASE.name and self.release:
            return struct.pack("<I", len(self.release)) + self.release.encode()
        if name == TIMINGS_MS.name:
            return struct.pack("<4f", 0.0, 0.0, self.model_ms, self.model_ms)
        return self.row[name]


class FakeTriton(GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient is untyped
    """``async with FakeTriton() as triton``: listens on ``triton.address`` until the end."""

    def __init__(self) -> None:
        self.models = {ANIMALS: FakeModel()}
        """What is loaded, by name; change it at will."""
        self.delay_s = 0.0
        self.asked = 0
        self.working = asyncio.Event()
        """Set when a photo is asked about."""

    async def __aenter__(self) -> FakeTriton:
        self._server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
        add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop(grace=None)

    async def ModelReady(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return pb.ModelReadyResponse(ready=request.name in self.models)

    async def ModelConfig(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return pb.ModelConfigResponse(config={"name": request.name, "max_batch_size": 32})

    async def ModelStatistics(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return pb.ModelStatisticsResponse(model_stats=[{"name": request.name, "version": "1"}])

    async def ModelInfer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self.asked += 1
        self.working.set()
        model = self.models.get(request.model_name)
        if model is None:
            unknown = f"Request for unknown model: '{request.model_name}' is not found"  # as Triton 24.10 says it
            await context.abort(grpc.StatusCode.NOT_FOUND, unknown)
        model.asked += 1
        await asyncio.sleep(self.delay_s + model.delay_s)
        if model.failure is not None:
            await context.abort(*model.failure)
        specs = {spec.name: spec for spec in ANIMALS_OUTPUTS}
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="1")
        for output in request.outputs:
            spec = specs[output.name]
            response.outputs.add(name=spec.name, datatype=spec.datatype, shape=(1, *spec.shape))
            response.raw_output_contents.append(model.output(spec.name))
        return response
