"""The release on the wheel's Triton: `animals` as it is, its networks run by an engine on the device."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from benchmarks.stack import ROOT, free_ports
from contract.tensors import ANIMALS, CLASSIFIER, DETECTOR
from export.layout import gpu_config_path, onnx_path
from serving.tritonserver import ServerOptions, TritonProcess
from serving.wheel import lay_out

NETWORKS: Final = (DETECTOR, CLASSIFIER)
START_LIMIT_S: Final = 240.0
STOP_LIMIT_S: Final = 20.0


def write_repository(release: Path, target: Path, engine: str, device: str) -> None:
    """A repository whose `animals` decodes on the CPU, in a process a core, and calls networks that ``engine`` runs
    with the batching of the release's gpu profile."""
    shutil.copytree(release, target, ignore=shutil.ignore_patterns("__pycache__", "preprocess"))
    animals = _read(release / ANIMALS / "configs" / "cpu-models.pbtxt")
    animals.instance_group[0].count = max(2, len(os.sched_getaffinity(0)))
    _write(target / ANIMALS, animals)
    for network in NETWORKS:
        config = _read(release / gpu_config_path(network))
        config.backend = "python"
        config.ClearField("default_model_filename")
        config.ClearField("optimization")
        config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_CPU  # which device is the engine's own affair
        for name, value in {
            "root": str(ROOT),
            "engine": engine,
            "device": device,
            "file": str((release / onnx_path(network)).resolve()),
            "scratch": str(target.parent.resolve()),
        }.items():
            config.parameters[name].string_value = value
        _write(target / network, config)
        shutil.copy2(Path(__file__).with_name("model.py"), target / network / "1")


def _read(path: Path) -> pb.ModelConfig:
    return text_format.Parse(path.read_text(), pb.ModelConfig())


def _write(model: Path, config: pb.ModelConfig) -> None:
    shutil.rmtree(model / "configs", ignore_errors=True)
    (model / "config.pbtxt").write_text(text_format.MessageToString(config))


@contextmanager
def running(repository: Path, scratch: Path) -> Iterator[str]:
    """Triton with all models of ``repository``; the address of its gRPC port. Raises ServingError."""
    base = free_ports(3)
    options = ServerOptions(
        repository=repository,
        http_port=base,
        grpc_port=base + 1,
        metrics_port=base + 2,
        log_file=scratch / "triton.log",
        shm_prefix=f"bestiary-gpu-{base}-",
    )
    with asyncio.Runner() as runner:
        process = runner.run(_start(scratch, options))
        try:
            print(f"Triton is ready, pid {process.pid}; its log: {options.log_file}", file=sys.stderr)
            yield f"127.0.0.1:{options.grpc_port}"
        finally:
            runner.run(process.stop(STOP_LIMIT_S))


async def _start(scratch: Path, options: ServerOptions) -> TritonProcess:
    process = await TritonProcess.start(lay_out(scratch / "backends"), options)
    try:
        await process.wait_ready(START_LIMIT_S)
    except BaseException:
        await process.stop(STOP_LIMIT_S)
        raise
    return process
