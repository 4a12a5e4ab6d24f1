"""The GPU script without a GPU: it says so, and its dry run goes all the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("skimage")

import torch

from benchmarks import photos as photo_sets
from benchmarks.gpu import bound
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.check import compare, reference
from benchmarks.gpu.engines import CPU, ONNXRUNTIME, TENSORRT, NoEngine, load
from benchmarks.gpu.serving import write_repository
from benchmarks.gpu.torch_network import OnnxNetwork, UnknownOperator
from contract.options import Task
from contract.release import Release
from contract.tensors import CLASSIFIER, DETECTOR
from export.layout import MANIFEST_PATH, onnx_path
from serving.repository import models_to_load, needs_completion
from tests.support.stack import ROOT

RELEASE = ROOT / "model_repository"
RUN = ROOT / "benchmarks" / "gpu" / "run.sh"
THRESHOLDS = Release.model_validate_json((RELEASE / MANIFEST_PATH).read_text()).thresholds
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch's threads wait for each other in a busy loop, which a busy machine pays for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    photos = photo_sets.load(None).photos
    tasks = {CLASSIFIER: Task.SPECIES, DETECTOR: Task.COUNT}
    return {network: np.stack([bound.decoded(photo, task) for photo in photos]) for network, task in tasks.items()}


@needs_no_gpu
def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "--device cpu" in capsys.readouterr().err


def test_a_folder_without_wheels_is_named(tmp_path: Path) -> None:
    done = subprocess.run([RUN, "--wheels", tmp_path], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "wheels.sh" in done.stderr


def test_an_interpreter_without_pytorch_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # no site-packages
    bare.chmod(0o755)
    done = subprocess.run([RUN], check=False, capture_output=True, text=True, env={**os.environ, "PYTHON": str(bare)})
    assert done.returncode == 1
    assert "has no PyTorch" in done.stderr


@pytest.mark.parametrize("network", [CLASSIFIER, DETECTOR])
def test_pytorch_answers_as_the_cpu_release_in_every_batch(network: str, pictures: dict[str, np.ndarray]) -> None:
    file = RELEASE / onnx_path(network)
    exact = reference(network, file, pictures[network])
    found = compare(network, load("torch fp32", network, file, CPU, file.parent), pictures[network], exact, THRESHOLDS)
    assert found.agreement == 1
    assert found.difference < 1e-4


def test_an_engine_that_answers_otherwise_is_not_measured(pictures: dict[str, np.ndarray]) -> None:
    file = RELEASE / onnx_path(CLASSIFIER)
    exact = reference(CLASSIFIER, file, pictures[CLASSIFIER])
    assert not compare(
        CLASSIFIER, lambda given: exact[: len(given), ::-1], pictures[CLASSIFIER], exact, THRESHOLDS
    ).holds
    with pytest.raises(NoEngine, match="answers"):
        compare(CLASSIFIER, lambda given: exact[: len(given), :5], pictures[CLASSIFIER], exact, THRESHOLDS)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Erf", ["X"], ["Y"])], "odd", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph), tmp_path / "odd.onnx")
    with pytest.raises(UnknownOperator, match="Erf"):
        OnnxNetwork(tmp_path / "odd.onnx", CPU, torch.float32)


def test_the_repository_calls_networks_and_needs_nothing_completed(tmp_path: Path) -> None:
    write_repository(RELEASE, tmp_path / "repository", "torch bf16", CPU)
    assert set(models_to_load(tmp_path / "repository", "")) == {"animals", CLASSIFIER, DETECTOR}
    assert not needs_completion(tmp_path / "repository", "")


@pytest.mark.long
def test_a_dry_run_goes_from_the_gate_to_tritons_figures(tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    arguments = ["--device", CPU, "--engines", TENSORRT, ONNXRUNTIME, "--tasks", "species", "--in-flight", "2"]
    done = subprocess.run(
        [RUN, *arguments, "--seconds", "1", "--json", report],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["engine"] == ONNXRUNTIME  # tensorrt needs a GPU and says so
    assert "tensorrt" in done.stdout
    (run,) = found["runs"]
    assert run["photos"] > 0
    assert run["p99_ms"] >= run["p50_ms"] > 0
    assert all(run["bound"][stage] > 0 for stage in ("decode", "copy", "compute"))
