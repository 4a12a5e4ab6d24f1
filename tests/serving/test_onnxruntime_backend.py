"""The CPU twin of the onnxruntime backend behaves as the native one, in a real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
from tritonclient.utils import InferenceServerException

from serving.errors import TritonStartError
from serving.tritonserver import ServerOptions, TritonProcess
from serving.wheel import lay_out
from tests.support.stack import free_ports

onnx = pytest.importorskip("onnx")


def scores_model(path: Path, batch: str | int) -> None:
    """A model whose output is its input plus 1: FP32 [batch, 4]."""
    from onnx import TensorProto, helper, numpy_helper

    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "one"], ["Y"])],
        "plus-one",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [batch, 4])],
        [one],
    )
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def start(repository: Path, scratch: Path) -> tuple[asyncio.Runner, TritonProcess]:
    base = free_ports(3)
    options = ServerOptions(
        repository=repository,
        http_port=base,
        grpc_port=base + 1,
        metrics_port=base + 2,
        log_file=scratch / "triton.log",
        shm_prefix=f"bestiary-test-{base}-",
    )
    runner = asyncio.Runner()

    async def launch() -> TritonProcess:
        process = await TritonProcess.start(lay_out(scratch / "backends"), options)
        try:
            await process.wait_ready(60)
        except BaseException:
            await process.stop(5)
            raise
        return process

    try:
        return runner, runner.run(launch())
    except BaseException:
        runner.close()
        raise


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[over_grpc.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("repository")
    scores_model(repository / "silent" / "1" / "model.onnx", "N")
    scores_model(repository / "fixed" / "1" / "model.onnx", 1)
    scores_model(repository / "labelled" / "1" / "model.onnx", "N")
    (repository / "labelled" / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    (repository / "labelled" / "config.pbtxt").write_text(
        'backend: "onnxruntime" max_batch_size: 8\n'
        'input { name: "X" data_type: TYPE_FP32 dims: [4] }\n'
        'output { name: "Y" data_type: TYPE_FP32 dims: [4] label_filename: "labels.txt" }\n'
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
        "instance_group { count: 2 kind: KIND_CPU }\n"
        "dynamic_batching { max_queue_delay_microseconds: 50000 }\n"
    )
    runner, process = start(repository, tmp_path_factory.mktemp("scratch"))
    with over_grpc.InferenceServerClient(f"127.0.0.1:{process.options.grpc_port}") as client:
        yield client
    runner.run(process.stop(15))
    runner.close()


def infer(client: over_grpc.InferenceServerClient, model: str, rows: np.ndarray, classes: int = 0) -> np.ndarray:
    tensor = over_grpc.InferInput("X", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    wanted = over_grpc.InferRequestedOutput("Y", class_count=classes)
    return client.infer(model, [tensor], outputs=[wanted]).as_numpy("Y")


def test_a_model_without_configuration_is_completed(triton: over_grpc.InferenceServerClient) -> None:
    config = triton.get_model_config("silent", as_json=True)["config"]
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] == 4
    assert "dynamic_batching" in config
    (tensor,) = config["input"]
    assert (tensor["name"], tensor["data_type"], [int(side) for side in tensor["dims"]]) == ("X", "TYPE_FP32", [4])
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(infer(triton, "silent", rows), rows + 1)


def test_a_fixed_batch_dimension_is_not_batched(triton: over_grpc.InferenceServerClient) -> None:
    config = triton.get_model_config("fixed", as_json=True)["config"]
    assert config.get("max_batch_size", 0) == 0
    assert [int(side) for side in config["input"][0]["dims"]] == [1, 4]
    row = np.ones((1, 4), np.float32)
    assert np.array_equal(infer(triton, "fixed", row), row + 1)


def test_requests_are_batched_and_everybody_gets_their_own_rows(triton: over_grpc.InferenceServerClient) -> None:
    def ask(number: int) -> bool:
        rows = np.full((1 + number % 3, 4), number, np.float32)
        return np.array_equal(infer(triton, "labelled", rows), rows + 1)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(96)))
    found = triton.get_inference_statistics("labelled").model_stats[0]
    assert found.execution_count < found.inference_count


def test_label_files_serve_the_classification_extension(triton: over_grpc.InferenceServerClient) -> None:
    answer = infer(triton, "labelled", np.array([[0, 3, 1, 2]], np.float32), classes=2)
    assert [text.decode().split(":")[2] for text in answer.ravel()] == ["bee", "dog"]


def test_a_wrong_shape_is_refused_and_the_model_lives_on(triton: over_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException):
        infer(triton, "labelled", np.zeros((1, 5), np.float32))
    assert infer(triton, "labelled", np.zeros((1, 4), np.float32)).shape == (1, 4)


def test_a_gpu_instance_is_refused_with_a_sentence(tmp_path: Path) -> None:
    scores_model(tmp_path / "repository" / "gpu" / "1" / "model.onnx", "N")
    (tmp_path / "repository" / "gpu" / "config.pbtxt").write_text(
        'backend: "onnxruntime" max_batch_size: 8 instance_group { kind: KIND_GPU gpus: [0] }\n'
    )
    with pytest.raises(TritonStartError):
        start(tmp_path / "repository", tmp_path)
