"""The exported detector answers as the network does, alone and in batches, or it is refused."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from contract.tensors import DETECTIONS, SCENE  # noqa: E402
from export.detector_graph import check_detector_parity, parity_scenes, write_detector_onnx  # noqa: E402
from export.errors import ParityError  # noqa: E402
from imaging.decode import Pixels  # noqa: E402
from training.detector.predict import Candidates, load_checkpoint, onnx_detector, torch_detector  # noqa: E402
from training.detector.start import COCO_ANIMALS  # noqa: E402
from training.detector.yolox import YoloxNano  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # PyTorch's exporter, of itself


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that has learned nothing, but has opinions."""
    torch.manual_seed(1)
    network = YoloxNano(len(COCO_ANIMALS))
    for head in network.heads:
        torch.nn.init.normal_(head.objectness.weight, std=5)
    file = tmp_path_factory.mktemp("detector") / "checkpoint.pt"
    torch.save({"state": network.state_dict()}, file)
    return file


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    file = checkpoint.with_name("model.onnx")
    write_detector_onnx(checkpoint, file)
    return file


@pytest.fixture(scope="module")
def scenes() -> list[Pixels]:
    return list(np.random.default_rng(1).integers(0, 256, (6, *SCENE.shape), dtype=np.uint8))


def test_inputs_and_outputs_are_those_of_the_contract(exported: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, tuple(given.shape[1:])) == (SCENE.name, "tensor(uint8)", SCENE.shape)
    assert (answer.name, answer.type, tuple(answer.shape[1:])) == (DETECTIONS.name, "tensor(float)", DETECTIONS.shape)
    assert isinstance(given.shape[0], str)


def test_the_graph_leaves_suppression_to_others_and_holds_its_weights(exported: Path) -> None:
    graph = onnx.load(exported, load_external_data=False).graph
    assert not {node.op_type for node in graph.node} & {"NonMaxSuppression", "NonZero", "Loop", "If"}
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in graph.initializer)


def test_both_runtimes_find_the_same_boxes(checkpoint: Path, exported: Path, scenes: list[Pixels]) -> None:
    network = torch_detector(load_checkpoint(checkpoint))
    score, edge = check_detector_parity(network, onnx_detector(exported), scenes)
    assert score < 1e-4
    assert edge < 1e-3


def test_the_same_weights_give_the_same_bytes(checkpoint: Path, exported: Path, tmp_path: Path) -> None:
    write_detector_onnx(checkpoint, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


@pytest.mark.parametrize(("column", "by"), [(4, 1e-3), (0, 2e-3)])
def test_another_score_or_a_moved_box_is_refused(column: int, by: float) -> None:
    rows = np.tile(np.array([0.2, 0.2, 0.6, 0.6, 0.5], np.float32), (1, 300, 1))
    rows[0, 1:, 4] = 0.01

    def network(pixels: Pixels) -> Candidates:
        return rows.repeat(len(pixels), axis=0)

    def other(pixels: Pixels) -> Candidates:
        changed = network(pixels)
        changed[..., column] += by
        return changed

    scene = [np.zeros(SCENE.shape, np.uint8)]
    assert check_detector_parity(network, network, scene) == (0, 0)
    with pytest.raises(ParityError, match="Nothing was released"):
        check_detector_parity(network, other, scene)


def test_boxes_of_equal_scores_may_change_places() -> None:
    rows = np.tile(np.array([0.2, 0.2, 0.6, 0.6, 0.5], np.float32), (1, 300, 1))
    rows[0, 0, :4] = 0.1
    rows[0, 2:, 4] = 0.01
    turned = rows[:, [1, 0, *range(2, 300)]]
    assert check_detector_parity(lambda _: rows, lambda _: turned, [np.zeros(SCENE.shape, np.uint8)]) == (0, 0)


def test_parity_is_looked_at_on_photos_of_many_kinds(data: Path) -> None:
    scenes = parity_scenes(data)
    assert len(scenes) > 40
    assert {scene.shape for scene in scenes} == {SCENE.shape}
