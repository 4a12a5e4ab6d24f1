"""The base network in PyTorch answers as its ONNX file does."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from imaging.decode import decode_photo  # noqa: E402
from training.base_weights import load_base  # noqa: E402
from training.dataset import BASE_WEIGHTS  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.network import extend_head, load_taxonomy, normalised  # noqa: E402


def test_the_loaded_network_answers_as_the_file_on_real_and_random_pixels(data: Path) -> None:
    photos = [decode_photo((data / "photos" / name).read_bytes()).pixels for name in ("ocelot.jpg", "owl.jpg")]
    noise = np.random.default_rng(0).integers(0, 256, photos[0].shape, dtype=np.uint8)
    images = normalised(torch.from_numpy(np.stack([*photos, noise])))
    with torch.inference_mode():
        mine = load_base(data / BASE_WEIGHTS)(images).softmax(dim=1).numpy()
    session = onnxruntime.InferenceSession(str(data / BASE_WEIGHTS))
    theirs = session.run(None, {"input": images.contiguous().numpy()})[0]
    assert np.abs(mine - theirs).max() < 1e-4


def test_the_extended_head_starts_with_the_base_networks_logits(data: Path) -> None:
    base = load_base(data / BASE_WEIGHTS)
    network = extend_head(base, load_taxonomy())
    pixels = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(network(pixels)[:, :1001], base(pixels), atol=1e-4)


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.onnx"):
        load_base(tmp_path / "nowhere.onnx")
