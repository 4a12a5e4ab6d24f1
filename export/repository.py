"""The whole of a release, written into Triton's model repository in one step."""

from __future__ import annotations

import tempfile
from pathlib import Path

from contract import tensors
from contract.manifest import TAXONOMY_NAME
from contract.release import Release
from export.card import model_card
from export.configs import all_configs, render
from export.errors import RepositoryError
from export.layout import CARD, LABELS_PATH, MANIFEST_PATH, MODELS, ONNX_PATH, VERSION
from export.manifest import labels, make_release
from export.onnx_graph import write_onnx
from export.parity import check_parity, parity_photos
from training.evaluate import Progress
from training.fit import EVALUATION, Evaluation
from training.network import load_taxonomy, taxonomy_text
from training.predict import load_checkpoint, onnx_predictor, torch_predictor

_DALI_SOURCE = Path(__file__).with_name("dali_pipeline.py")

_PYTHON_MODEL = '"""{about}"""\n\nfrom serving.models.{module} import TritonPythonModel  # noqa: F401\n'


def build_release(checkpoint: Path, data: Path, out: Path, name: str, progress: Progress) -> Release:
    """Export, check and write a release; ``out`` is replaced as a whole, or not at all.

    ``evaluation.json`` is read from beside the checkpoint. Raises ParityError if the exported graph
    answers differently, RepositoryError if ``out`` holds anything but a release, and the errors of
    ``training`` for a bad checkpoint or data directory.
    """
    evaluation = _evaluation(checkpoint)
    _refuse_strangers(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / out.name
        progress("export: graph", 0, 3)
        write_classifier(checkpoint, data, fresh / ONNX_PATH, progress)
        progress("export: repository", 2, 3)
        write_texts(fresh, texts())
        write_texts(fresh, {CARD: model_card(data, evaluation, name)})
        release = make_release(fresh, data, evaluation, name)
        write_texts(fresh, {MANIFEST_PATH: release.to_json()})
        _swap(fresh, out, Path(scratch) / "previous")
    return release


def write_classifier(checkpoint: Path, data: Path, file: Path, progress: Progress) -> float:
    """Export a checkpoint to ``file`` and hold it against the network; the largest difference found."""
    taxonomy = load_taxonomy()
    classifier = load_checkpoint(checkpoint, taxonomy)
    file.parent.mkdir(parents=True)
    write_onnx(classifier, file, len(taxonomy))
    progress("export: parity", 1, 3)
    return check_parity(torch_predictor(classifier), onnx_predictor(file), parity_photos(data))


def texts() -> dict[str, str]:
    """Every text file of a release that follows from the code alone: path below the repository -> content."""
    taxonomy = load_taxonomy()
    files = {path: render(config) for path, config in all_configs(len(taxonomy)).items()}
    decode = "Decodes photos on the CPU, shrinking JPEGs while they load."
    public = "The public model: photos in, species out."
    return files | {
        f"{tensors.PREPROCESS}/{VERSION}/model.py": _PYTHON_MODEL.format(about=decode, module=tensors.PREPROCESS),
        f"{tensors.PREPROCESS}/{VERSION}/dali.py": _DALI_SOURCE.read_text(encoding="utf-8"),
        LABELS_PATH: labels(taxonomy),
        f"{tensors.ANIMALS}/{VERSION}/model.py": _PYTHON_MODEL.format(about=public, module=tensors.ANIMALS),
        f"{tensors.ANIMALS}/{VERSION}/{TAXONOMY_NAME}": taxonomy_text(),
    }


def write_texts(root: Path, files: dict[str, str]) -> None:
    """Write files below ``root``, with their folders."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _evaluation(checkpoint: Path) -> Evaluation:
    file = checkpoint.with_name(EVALUATION)
    if not file.is_file():
        raise RepositoryError(f"No {EVALUATION} beside {checkpoint}. Make both with `python -m training fit`.")
    return Evaluation.from_json(file.read_text(encoding="utf-8"))


def _refuse_strangers(out: Path) -> None:
    """Replacing must not delete what no release wrote."""
    if not out.exists():
        return
    strangers = sorted(entry.name for entry in out.iterdir() if entry.name not in (*MODELS, CARD))
    if strangers:
        raise RepositoryError(f"{out} also holds {', '.join(strangers)}. Give --out a directory of its own.")


def _swap(fresh: Path, out: Path, previous: Path) -> None:
    """Two renames; if the second fails, the first is undone."""
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(previous)
    try:
        fresh.rename(out)
    except OSError:
        previous.rename(out)
        raise
