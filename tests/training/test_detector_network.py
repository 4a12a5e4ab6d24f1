"""YOLOX-nano in PyTorch answers as the starting file does, with all classes and with animals alone."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from training.detector.network import AnimalDetector, for_rgb  # noqa: E402
from training.detector.predict import load_checkpoint, onnx_detector, served_scene, start_detector  # noqa: E402
from training.detector.start import COCO_ANIMALS, START_WEIGHTS, animals_only, load_start  # noqa: E402
from training.detector.yolox import YoloxNano, cells, decoded  # noqa: E402
from training.errors import CheckpointError  # noqa: E402


def network(classes: int = 3) -> YoloxNano:
    torch.manual_seed(1)
    return YoloxNano(classes).eval()


def images(size: int = 64) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(2)) * 255


def test_there_is_a_row_for_every_cell_of_three_grids() -> None:
    with torch.inference_mode():
        assert network()(images(96)).shape == (1, 12 * 12 + 6 * 6 + 3 * 3, 5 + 3)
    assert cells(416).shape == (3549, 3)


def test_boxes_are_decoded_around_their_cells() -> None:
    rows = torch.zeros(1, len(cells(64)), 4)
    boxes = decoded(rows, cells(64))[0]
    assert boxes[9].tolist() == [4, 4, 12, 12]  # column 1, row 1 of the finest grid, one cell wide
    assert boxes[-1].tolist() == [16, 16, 48, 48]


def test_a_detector_gives_the_best_boxes_first_and_as_shares_of_the_square() -> None:
    pixels = torch.randint(0, 256, (2, 416, 416, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        rows = AnimalDetector(network())(pixels)
    assert rows.shape == (2, 300, 5)
    assert (rows[..., 4].diff(dim=1) <= 0).all()
    assert (rows[..., :4].abs() < 10).all()


def test_the_network_for_rgb_answers_as_the_one_for_bgr() -> None:
    with torch.inference_mode():
        wanted = network()(images())
        assert torch.allclose(for_rgb(network())(images().flip(1)), wanted, atol=1e-4)


def test_the_start_answers_as_its_file_does_on_a_real_photo(data: Path) -> None:
    scene = served_scene((data / "photos" / "pets.jpg").read_bytes())
    bgr = torch.from_numpy(scene[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        rows = load_start(data / START_WEIGHTS)(bgr)
    mine = torch.cat((rows[..., :4], rows[..., 4:].sigmoid()), dim=2).numpy()
    session = onnxruntime.InferenceSession(str(data / START_WEIGHTS))
    theirs = session.run(None, {"images": bgr.contiguous().numpy()})[0]
    assert np.abs(mine - theirs)[..., 4:].max() < 1e-4  # probabilities
    assert np.abs(mine - theirs)[..., :4].max() < 1e-3  # cells and logarithms of cells


def test_the_class_agnostic_start_scores_objectness_times_the_likeliest_animal(data: Path) -> None:
    scene = served_scene((data / "photos" / "pets.jpg").read_bytes())
    bgr = torch.from_numpy(scene[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        rows = load_start(data / START_WEIGHTS)(bgr)[0].sigmoid()
        best = start_detector(data)(torch.from_numpy(scene)[None])[0, :, 4]
    scores = rows[:, 4] * rows[:, 5:][:, list(COCO_ANIMALS)].amax(dim=1)
    assert torch.allclose(best, scores.topk(300).values, atol=1e-5)


def test_animals_only_keeps_the_boxes(data: Path) -> None:
    start = load_start(data / START_WEIGHTS)
    with torch.inference_mode():
        assert torch.allclose(animals_only(start)(images())[..., :5], start(images())[..., :5], atol=1e-4)


def test_files_that_are_no_detector_are_refused(tmp_path: Path) -> None:
    for load in (load_start, load_checkpoint, onnx_detector):
        with pytest.raises(CheckpointError, match="nowhere"):
            load(tmp_path / "nowhere.onnx")
    torch.save({"state": network(2).state_dict()}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(tmp_path / "other.pt")


def test_another_network_is_refused_as_a_start(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "empty.onnx")
    with pytest.raises(CheckpointError, match="0 convolutions"):
        load_start(tmp_path / "empty.onnx")
