"""The peers: how each is started for two cores as its own guides say, and how a photo is put to it.

The first variant of each is the one that ``run`` measures: the best of those that ``tune`` compared (README.md).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.peers.environments import SetupError, executable
from benchmarks.peers.wire import Http, Wire, kserve_grpc
from benchmarks.stack import ROOT

SERVERS: Final = Path(__file__).parent / "servers"
CLASSIFIER: Final = ROOT / "model_repository" / "classifier"
PATH: Final = "/classify"
PORTS: Final = 5
"""A system may listen on so many in a row: the first takes photos by HTTP, the second by gRPC."""

Options = Mapping[str, str]
"""A variant: ``PEER_...`` settings that servers/*.py read, without the prefix."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves until SIGTERM, and how to talk to it once ``ready_path`` answers with 2xx."""

    command: tuple[str, ...]
    wire: Wire
    port: int
    ready_port: int
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server of the float32 network."""

    name: str
    title: str
    variants: Mapping[str, Options]
    launch: Callable[[Path, int, int, Options], Launch]
    """From scratch folder, first port, cores and variant. Raises SetupError."""


def environment_of(options: Options, cores: int) -> dict[str, str]:
    """What servers/*.py are told, without what would lead a peer into this project's own environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    settings = {
        "MODEL": str(CLASSIFIER / "1" / "model.onnx"),
        "LABELS": str(CLASSIFIER / "labels.txt"),
        "WORKERS": str(cores),
        **options,
    }
    return {
        **inherited,
        "PYTHONPATH": str(SERVERS),
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"PEER_{name}": value for name, value in settings.items()},
    }


def _fastapi(_folder: Path, port: int, cores: int, options: Options) -> Launch:
    command = (
        executable("fastapi", "uvicorn"), "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", options.get("WORKERS", str(cores)), "--log-level", "warning", "--no-access-log",
    )  # fmt: skip
    return Launch(command, Http(PATH), port, port, "/health")


def _litserve(_folder: Path, port: int, _cores: int, _options: Options) -> Launch:
    command = (executable("litserve", "python"), str(SERVERS / "litserve_app.py"))
    return Launch(command, Http(PATH), port, port, "/health", {"PEER_PORT": str(port)})


def _bentoml(folder: Path, port: int, _cores: int, options: Options) -> Launch:
    command = (
        executable("bentoml", "bentoml"), "serve", "bentoml_app:Classifier", "--working-dir", str(SERVERS),
        "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    wire = Http(PATH, form_field="photos") if int(options.get("BATCH", "1")) > 1 else Http(PATH, "image/jpeg")
    environment = {"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    return Launch(command, wire, port, port, "/readyz", environment)


def _mlserver(folder: Path, port: int, cores: int, options: Options) -> Launch:
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": cores,
        "environments_dir": str(folder / "environments"),
        "debug": False,
        "grpc_max_message_length": 64 << 20,
    }
    batch = int(options.get("BATCH", "1"))
    model = {
        "name": "classifier",
        "implementation": "mlserver_app.Classifier",
        "max_batch_size": batch if batch > 1 else 0,
        "max_batch_time": 0.005 if batch > 1 else 0.0,
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = (executable("mlserver", "mlserver"), "start", str(folder))
    by_grpc = options.get("EDGE") == "grpc"
    wire: Wire = kserve_grpc("classifier") if by_grpc else Http(PATH)
    return Launch(command, wire, port + 1 if by_grpc else port, port, "/v2/health/ready")


def _ray(_folder: Path, port: int, _cores: int, options: Options) -> Launch:
    command = (executable("ray", "python"), str(SERVERS / "ray_app.py"))
    environment = {"PEER_PORT": str(port), "RAY_USAGE_STATS_ENABLED": "0"}
    if options.get("THROUGHPUT") == "1":
        environment |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    if options.get("HAPROXY") == "1":
        environment |= {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
    return Launch(command, Http(PATH), port, port, "/-/healthz", environment)


_LOG4J: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders><Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %c - %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
"""Warnings only (guide *Logging in TorchServe*): by default it writes a dozen lines a photo."""


def _torchserve(folder: Path, port: int, cores: int, options: Options) -> Launch:
    archive = [
        executable("torchserve", "torch-model-archiver"), "--model-name", "classifier", "--version", "1.0",
        "--handler", str(SERVERS / "torchserve_handler.py"), "--extra-files", str(SERVERS / "network.py"),
        "--export-path", str(folder), "--force",
    ]  # fmt: skip
    done = subprocess.run(archive, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"TorchServe's archiver failed: {done.stderr.strip()}")
    batch = int(options.get("BATCH", "1"))
    model = {
        "classifier": {
            "1.0": {
                "defaultVersion": True,
                "marName": "classifier.mar",
                "minWorkers": cores,
                "maxWorkers": cores,
                "batchSize": batch,
                "maxBatchDelay": 5,
                "responseTimeout": 60,
            }
        }
    }
    properties = {
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{port + 1}",
        "metrics_address": f"http://127.0.0.1:{port + 2}",
        "grpc_inference_port": port + 3,
        "grpc_management_port": port + 4,
        "load_models": "all",
        "model_store": folder,
        "models": json.dumps(model),
        "default_workers_per_model": cores,
        "max_request_size": 64 << 20,
        "disable_token_authorization": "true",
        "job_queue_size": 1000,
        "install_py_dep_per_model": "false",
    }
    lines = [f"{name}={value}" for name, value in properties.items()]
    (folder / "log4j2.xml").write_text(_LOG4J)
    (folder / "config.properties").write_text("\n".join(lines) + "\n")
    command = (
        executable("torchserve", "torchserve"), "--start", "--foreground", "--ncs", "--disable-token-auth",
        "--ts-config", str(folder / "config.properties"), "--model-store", str(folder),
        "--models", "classifier.mar", "--log-config", str(folder / "log4j2.xml"),
    )  # fmt: skip
    environment = {"LOG_LOCATION": str(folder), "METRICS_LOCATION": str(folder)}
    path = Path(executable("torchserve", "torchserve")).parent
    environment["PATH"] = f"{path}{os.pathsep}{os.environ.get('PATH', '')}"
    return Launch(command, Http("/predictions/classifier"), port, port, "/ping", environment)


PEERS: Final = (
    Peer(
        "fastapi",
        "FastAPI + onnxruntime",
        {
            "def": {"ENDPOINT": "def"},
            "async": {"ENDPOINT": "async"},
            "one process": {"ENDPOINT": "def", "WORKERS": "1"},
        },
        _fastapi,
    ),
    Peer(
        "litserve",
        "LitServe",
        {"workers": {}, "workers, fast queue": {"FAST_QUEUE": "1"}, "batches of 4": {"BATCH": "4"}},
        _litserve,
    ),
    Peer("bentoml", "BentoML", {"workers": {}, "adaptive batches": {"BATCH": "4"}}, _bentoml),
    Peer(
        "mlserver",
        "MLServer",
        {"REST": {}, "KServe gRPC": {"EDGE": "grpc"}, "KServe gRPC, batches of 4": {"EDGE": "grpc", "BATCH": "4"}},
        _mlserver,
    ),
    Peer(
        "ray",
        "Ray Serve",
        {
            "replicas": {},
            "throughput": {"THROUGHPUT": "1"},
            "throughput, HAProxy": {"THROUGHPUT": "1", "HAPROXY": "1"},
            "batches of 4": {"BATCH": "4", "ONGOING": "16"},
        },
        _ray,
    ),
    Peer("torchserve", "TorchServe", {"workers": {}, "batches of 4": {"BATCH": "4"}}, _torchserve),
)
