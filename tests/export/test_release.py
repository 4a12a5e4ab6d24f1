"""The release in the repository is whole, and building one is guarded."""

import ast
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from typer.testing import CliRunner  # noqa: E402

from contract import preprocessing, tensors  # noqa: E402
from contract.release import Release  # noqa: E402
from export.card_text import percent  # noqa: E402
from export.cli import app  # noqa: E402
from export.errors import ParityError, RepositoryError  # noqa: E402
from export.layout import MANIFEST_PATH, ONNX_PATH, file_digests  # noqa: E402
from export.parity import check_parity  # noqa: E402
from export.plan_release import serve_plans  # noqa: E402
from export.repository import build_release, texts  # noqa: E402
from imaging.decode import DCT_SCALES  # noqa: E402
from training.predict import onnx_predictor  # noqa: E402

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
NOISE = list(np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), dtype=np.uint8))


def _release(repository: Path = REPOSITORY) -> Release:
    return Release.model_validate_json((repository / MANIFEST_PATH).read_text(encoding="utf-8"))


def test_the_manifests_digests_are_those_of_the_files() -> None:
    assert _release().files == file_digests(REPOSITORY)


@pytest.mark.parametrize("path", texts())
def test_the_committed_text_is_the_generated_one(path: str) -> None:
    assert (REPOSITORY / path).read_text(encoding="utf-8") == texts()[path]


def test_the_release_is_small_enough_to_commit() -> None:
    assert sum(file.stat().st_size for file in REPOSITORY.rglob("*") if file.is_file()) < 20_000_000


def test_a_release_is_good_enough_to_ship() -> None:
    figures = _release().evaluation
    assert figures["top1.photographs"] >= 0.93
    assert figures["top1"] >= 0.92, "drawings and figures of animals included"
    assert figures["no_animal"] >= 0.95
    assert figures["false_empty"] <= 0.03


def test_the_graph_is_self_contained_and_names_no_source_file() -> None:
    model = onnx.load(REPOSITORY / ONNX_PATH, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"site-packages" not in (REPOSITORY / ONNX_PATH).read_bytes()


def test_a_photo_gets_the_same_answer_alone_and_in_a_batch() -> None:
    predict = onnx_predictor(REPOSITORY / ONNX_PATH)
    assert check_parity(predict, predict, NOISE) == 0.0
    together = predict(np.stack(NOISE))
    alone = np.concatenate([predict(pixels[None]) for pixels in NOISE])
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(together.sum(axis=1), 1.0, atol=1e-5)


def test_the_gate_refuses_a_disturbed_graph(tmp_path: Path) -> None:
    model = onnx.load(REPOSITORY / ONNX_PATH)
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weights) * np.float32(1.05)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "disturbed.onnx")
    with pytest.raises(ParityError, match="Nothing was released"):
        check_parity(onnx_predictor(REPOSITORY / ONNX_PATH), onnx_predictor(tmp_path / "disturbed.onnx"), NOISE)


def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "notes").mkdir(parents=True)
    with pytest.raises(RepositoryError, match="notes"):
        build_release(tmp_path, tmp_path, tmp_path, out, "1", None, lambda what, done, total: None)
    assert (out / "notes").is_dir()


def test_a_release_without_its_findings_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"evaluation\.json.*fit"):
        build_release(
            tmp_path / "checkpoint.pt", tmp_path, tmp_path, tmp_path / "out", "1", None, lambda what, done, total: None
        )


def test_the_card_gives_the_manifests_figures() -> None:
    card = (REPOSITORY / "MODEL_CARD.md").read_text(encoding="utf-8")
    figures = _release().evaluation
    for name in ("top1", "int8.top1", "ece.folders", "detector.exact_count", "left_out.roll_up.wrong_species"):
        assert percent(figures[name]) in card, name
    for source in _release().training.data:
        assert source.attribution in card


def test_the_dali_file_repeats_the_contracts_constants() -> None:
    tree = ast.parse((REPOSITORY / "preprocess/1/dali.py").read_text(encoding="utf-8"))
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    assert constants == {
        "MAX_BATCH": tensors.MAX_BATCH,
        "IMAGE_SIZE": preprocessing.IMAGE_SIZE,
        "SCENE_SIZE": preprocessing.SCENE_SIZE,
        "VIEW_SIZE": preprocessing.VIEW_SIZE,
        "LETTERBOX_FILL": preprocessing.LETTERBOX_FILL,
        "PHOTO": tensors.ENCODED.name,
        "HALVINGS": len(DCT_SCALES),
        "STRETCHINGS": 5,
    }


def test_the_plan_command_says_that_tensorrt_is_missing() -> None:
    pytest.importorskip("typer")
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        result = CliRunner().invoke(app, ["plan", "--repository", str(REPOSITORY)])
        assert result.exit_code == 1
        assert "tensorrt is not installed" in result.output
        assert "Traceback" not in result.output
    else:
        pytest.skip("TensorRT is installed here")


def test_a_built_plan_joins_the_release(tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(REPOSITORY, repository)
    for network in ("classifier", "detector"):
        (repository / network / "1" / "model.plan").write_bytes(b"an engine")
    identity = serve_plans(repository)
    release = _release(repository)
    assert identity == release.identity != _release().identity
    for network in ("classifier", "detector"):
        assert release.files[f"{network}/1/model.plan"] == hashlib.sha256(b"an engine").hexdigest()
        assert 'backend: "tensorrt"' in (repository / network / "configs/gpu.pbtxt").read_text(encoding="utf-8")
