"""The CPU twin of the openvino backend behaves as the native one, in a real Triton."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
from tritonclient.utils import InferenceServerException

from serving.errors import TritonStartError
from tests.serving.test_onnxruntime_backend import infer, scores_model, start
from tests.support.stack import ROOT

pytest.importorskip("onnx")

CLASSIFIER = ROOT / "model_repository" / "classifier"
ROW = np.arange(4, dtype=np.float32)[None]


def configured(folder: Path, text: str) -> None:
    scores_model(folder / "1" / "model.onnx", "N")
    (folder / "config.pbtxt").write_text(
        f'backend: "openvino" default_model_filename: "model.onnx" instance_group {{ kind: KIND_CPU }} {text}'
    )


def tensors(*dims: int) -> str:
    sides = ", ".join(map(str, dims))
    return (
        f'input {{ name: "X" data_type: TYPE_FP32 dims: [{sides}] }} '
        f'output {{ name: "Y" data_type: TYPE_FP32 dims: [{sides}] }} '
    )


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }} '


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[over_grpc.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("repository")
    configured(repository / "silent", "")
    configured(repository / "exact", "max_batch_size: 2 " + tensors(4))
    configured(
        repository / "padded",
        "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 50000 } "
        + tensors(4)
        + parameter("ENABLE_BATCH_PADDING", "YES")
        + parameter("NUM_STREAMS", "1")
        + parameter("INFERENCE_NUM_THREADS", "1")
        + parameter("PERFORMANCE_HINT", "LATENCY"),
    )
    configured(repository / "free", tensors(-1, 4))
    shutil.copytree(CLASSIFIER, repository / "classifier")
    config = (CLASSIFIER / "config.pbtxt").read_text()
    config = config.replace('"onnxruntime"', '"openvino"').replace("intra_op_thread_count", "INFERENCE_NUM_THREADS")
    config = config.replace("max_batch_size: 32", "max_batch_size: 1").replace("count: 2", "count: 1")
    (repository / "classifier" / "config.pbtxt").write_text(config)
    runner, process = start(repository, tmp_path_factory.mktemp("scratch"))
    with over_grpc.InferenceServerClient(f"127.0.0.1:{process.options.grpc_port}") as client:
        yield client
    runner.run(process.stop(15))
    runner.close()


def test_inputs_and_outputs_are_completed_and_batching_is_not(triton: over_grpc.InferenceServerClient) -> None:
    config = triton.get_model_config("silent", as_json=True)["config"]
    assert config.get("max_batch_size", 0) == 0
    (tensor,) = config["input"]
    assert (tensor["name"], tensor["data_type"], [int(side) for side in tensor["dims"]]) == ("X", "TYPE_FP32", [-1, -1])
    assert np.array_equal(infer(triton, "silent", ROW), ROW + 1)


def test_a_batch_of_another_size_is_refused_with_the_way_out(triton: over_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="ENABLE_BATCH_PADDING"):
        infer(triton, "exact", ROW)
    rows = np.concatenate([ROW, ROW * 3])
    assert np.array_equal(infer(triton, "exact", rows), rows + 1)


def test_padded_batches_give_everybody_their_own_rows(triton: over_grpc.InferenceServerClient) -> None:
    def ask(number: int) -> bool:
        rows = np.full((1 + number % 3, 4), number, np.float32)
        return np.array_equal(infer(triton, "padded", rows), rows + 1)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(96)))
    found = triton.get_inference_statistics("padded").model_stats[0]
    assert found.execution_count < found.inference_count


def test_without_batching_every_request_has_its_own_shape(triton: over_grpc.InferenceServerClient) -> None:
    for count in (1, 5, 2):
        rows = np.repeat(ROW, count, axis=0)
        assert np.array_equal(infer(triton, "free", rows), rows + 1)


def test_a_wrong_shape_is_refused_and_the_model_lives_on(triton: over_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException):
        infer(triton, "free", np.zeros((1, 5), np.float32))
    assert infer(triton, "free", ROW).shape == (1, 4)


def test_the_releases_classifier_answers_as_with_onnxruntime(triton: over_grpc.InferenceServerClient) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(CLASSIFIER / "1" / "model.int8.onnx"))
    picture = np.random.default_rng(3).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    tensor = over_grpc.InferInput("IMAGE", picture.shape, "UINT8")
    tensor.set_data_from_numpy(picture)
    answer = triton.infer("classifier", [tensor]).as_numpy("PROBABILITIES")
    expected = session.run(None, {"IMAGE": picture})[0]
    assert answer.shape == expected.shape
    assert answer.argmax() == expected.argmax()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (parameter("NUM_STREAMS", "many"), "NUM_STREAMS has to be"),
        (parameter("PERFORMANCE_HINT", "fast"), "PERFORMANCE_HINT has to be one of LATENCY"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused_by_name(tmp_path: Path, parameters: str, said: str) -> None:
    configured(tmp_path / "repository" / "odd", "max_batch_size: 1 " + tensors(4) + parameters)
    with pytest.raises(TritonStartError, match=said):
        start(tmp_path / "repository", tmp_path)
