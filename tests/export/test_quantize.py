"""Eight bits say the same, on every processor, or they are refused."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from contract.tensors import IMAGE  # noqa: E402
from export.errors import ParityError  # noqa: E402
from export.parity import check_agreement  # noqa: E402
from export.quantize import LARGEST, LEVELS, Grid, fitted, quantise, quantised_weights  # noqa: E402
from export.quantized_graph import write_quantised  # noqa: E402
from imaging.decode import Pixels  # noqa: E402
from training.dataset import Photo  # noqa: E402
from training.evaluate import Answers  # noqa: E402
from training.mobilenet import InvertedResidual, MobileNetV2, SameConv  # noqa: E402
from training.network import AnimalClassifier, count_rows, load_taxonomy  # noqa: E402
from training.predict import onnx_predictor, torch_predictor  # noqa: E402

TAXONOMY = load_taxonomy()


def _pixels(count: int, seed: int = 0) -> Pixels:
    """Pictures with something in them: smooth noise of many scales."""
    coarse = torch.rand(count, 3, 7, 7, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (224, 224), mode="bicubic").clamp(0, 1)
    return (smooth * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


@pytest.fixture(scope="module")
def classifier() -> AnimalClassifier:
    """A network that has learned nothing, whose activations keep their size from layer to layer."""
    torch.manual_seed(3)
    network = MobileNetV2(count_rows(TAXONOMY)).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    return AnimalClassifier(network, TAXONOMY, temperature=0.8).eval()


@pytest.fixture(scope="module")
def graph(classifier: AnimalClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    write_quantised(classifier, quantise(classifier.network, _pixels(4)), TAXONOMY, file)
    return file


@pytest.mark.parametrize("shape", [(32, 3, 3, 3), (64, 24, 1, 1), (24, 65, 1, 1), (10, 1280)])
def test_no_pair_of_neighbours_can_leave_16_bits(shape: tuple[int, ...]) -> None:
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1)) ** 3
    integers, _ = quantised_weights(weights, depthwise=False)
    flat = integers.movedim(1, -1).flatten(1)
    pairs = torch.nn.functional.pad(flat, (0, flat.shape[1] % 2)).view(len(flat), -1, 2)
    assert LEVELS * pairs.clamp(min=0).sum(dim=2).max() < 2**15
    assert LEVELS * pairs.clamp(max=0).sum(dim=2).min() >= -(2**15)
    assert integers.abs().max() <= LARGEST


def test_weights_on_an_8_bit_grid_stay_as_they_are() -> None:
    whole = torch.randint(-60, 61, (16, 1, 3, 3), generator=torch.Generator().manual_seed(2)).float()
    whole[:, 0, 0, 0] = LARGEST
    integers, scale = quantised_weights(whole * 0.01, depthwise=True)
    assert torch.equal(integers, whole)
    assert torch.allclose(scale, torch.tensor(0.01))


def test_a_channel_without_weights_has_a_usable_scale() -> None:
    integers, scale = quantised_weights(torch.zeros(2, 8, 1, 1), depthwise=False)
    assert not integers.any()
    assert (scale > 1e-3).all(), "a denormal scale would slow every photo down"


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-3.0, 5.0), (-1.0, 0.0)])
def test_a_grid_holds_zero_and_most_of_the_values(low: float, high: float) -> None:
    values = torch.rand(10_000, generator=torch.Generator().manual_seed(4)) * (high - low) + low
    grid = fitted(values)
    assert grid.nearest(torch.zeros(1)) == 0
    assert (grid.nearest(values) - values).abs().max() < 0.1
    assert 0 <= grid.zero <= LEVELS


def test_an_outlier_does_not_coarsen_the_grid() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(5)).abs()
    assert fitted(torch.cat((values, torch.tensor([12.0])))).scale < 12 / LEVELS


def test_the_graph_answers_as_the_network(classifier: AnimalClassifier, graph: Path) -> None:
    pixels = _pixels(6, seed=7)
    exact, rounded = torch_predictor(classifier)(pixels), onnx_predictor(graph)(pixels)
    assert rounded.shape == exact.shape
    assert np.allclose(rounded.sum(axis=1), 1, atol=1e-4)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.98


def test_a_photo_gets_the_same_8_bit_answer_alone_and_in_a_batch(graph: Path) -> None:
    predict, pixels = onnx_predictor(graph), _pixels(5)
    assert np.allclose(predict(pixels), np.concatenate([predict(one[None]) for one in pixels]), atol=1e-5)


def test_every_convolution_becomes_an_integer_kernel(graph: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # it warns that the optimised file is for this processor
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    layers = sum(isinstance(module, SameConv) for module in MobileNetV2(1).modules())
    sums = sum(isinstance(block, InvertedResidual) and block.residual for block in MobileNetV2(1).blocks)
    assert kinds.count("QLinearConv") == layers
    assert kinds.count("QLinearAdd") == sums
    assert kinds.count("QGemm") == 1
    assert not {"Conv", "Gemm", "DequantizeLinear", "QuantizeLinear"} & set(kinds)


def test_the_graph_takes_the_contracts_input(graph: Path) -> None:
    (pixels,) = onnxruntime.InferenceSession(str(graph)).get_inputs()
    assert (pixels.name, pixels.type, pixels.shape[1:]) == (IMAGE.name, "tensor(uint8)", list(IMAGE.shape))


def test_a_grid_rounds_to_its_own_steps() -> None:
    grid = Grid(scale=0.5, zero=10)
    assert grid.nearest(torch.tensor([-100.0, -0.3, 0.2, 0.3, 500.0])).tolist() == [-5.0, -0.5, 0.0, 0.5, 122.5]


def _answers(*species: str) -> Answers:
    leaves = np.zeros((len(species), len(TAXONOMY)), np.float32)
    for row, key in enumerate(species):
        leaves[row, TAXONOMY.by_key(key).index] = 1
    photos = tuple(Photo("species/ant/x.jpg", "species", "ant", "somewhere", "CC-BY-4.0") for _ in species)
    return Answers(photos, leaves, leaves)


def test_the_gate_counts_other_answers_and_lost_right_ones() -> None:
    exact = _answers(*["ant"] * 99, "tick")
    gained = check_agreement(exact, _answers(*["ant"] * 100), TAXONOMY)
    assert gained == {"int8.agreement": 0.99, "int8.lost": -0.01}
    with pytest.raises(ParityError, match="another best species on"):
        check_agreement(exact, _answers(*["ant"] * 96, *["tick"] * 4), TAXONOMY)
    with pytest.raises(ParityError, match="cost"):
        check_agreement(_answers(*["ant"] * 100), _answers(*["ant"] * 98, *["tick"] * 2), TAXONOMY)
