"""The whole of a release, written into Triton's model repository in one step."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from contract import tensors
from contract.manifest import TAXONOMY_NAME
from contract.release import Release
from contract.taxonomy import parse_taxonomy
from export.card import model_card
from export.configs import all_configs, render
from export.errors import RepositoryError
from export.findings import read_findings
from export.layout import CARD, DETECTOR_PATH, INT8_PATH, LABELS_PATH, MANIFEST_PATH, MODELS, ONNX_PATH, VERSION
from export.manifest import labels, make_release
from export.networks import write_classifier, write_detector, write_int8
from training.evaluate import Progress
from training.network import taxonomy_text

_DALI_SOURCE = Path(__file__).with_name("dali_pipeline.py")

_PYTHON_MODEL = '"""{about}"""\n\nfrom serving.models.{module} import TritonPythonModel  # noqa: F401\n'

STEPS = 4


def build_release(
    checkpoint: Path, detector: Path, data: Path, out: Path, name: str, dali: Path | None, progress: Progress
) -> Release:
    """Export, check and write a release; ``out`` is replaced as a whole, or not at all.

    ``checkpoint`` is of ``fit``, ``detector`` of ``fit-detector``; what they and ``leave-out`` found is read from
    beside them, ``dali`` is what ``dali-parity --json`` printed. Raises ParityError if an exported graph
    answers differently, RepositoryError if ``out`` holds anything but a release or a finding is missing, and
    the errors of ``training`` for a bad checkpoint or data directory.
    """
    refuse_strangers(out)
    findings = read_findings(checkpoint, detector, dali)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / out.name
        progress("export: classifier", 0, STEPS)
        write_classifier(checkpoint, data, fresh / ONNX_PATH)
        progress("export: detector", 1, STEPS)
        write_detector(detector, data, fresh / DETECTOR_PATH)
        progress("export: 8 bits", 2, STEPS)
        int8 = write_int8(checkpoint, data, fresh / INT8_PATH, findings.classifier, progress)
        findings = dataclasses.replace(findings, int8=int8)
        progress("export: repository", 3, STEPS)
        write_texts(fresh, texts())
        write_texts(fresh, {CARD: model_card(data, findings, name)})
        release = make_release(fresh, data, findings, name)
        write_texts(fresh, {MANIFEST_PATH: release.to_json()})
        swap(fresh, out, Path(scratch) / "previous")
    return release


def texts(taxonomy_csv: str = "") -> dict[str, str]:
    """Every text file of a release that follows from the code and its taxonomy: path below the repository -> content.

    ``taxonomy_csv``: text of the taxonomy; '' for that of ``contract``.
    """
    taxonomy_csv = taxonomy_csv or taxonomy_text()
    taxonomy = parse_taxonomy(taxonomy_csv)
    files = {path: render(config) for path, config in all_configs(len(taxonomy)).items()}
    public = "The public model: photos in, animals out."
    return files | {
        f"{tensors.PREPROCESS}/{VERSION}/dali.py": _DALI_SOURCE.read_text(encoding="utf-8"),
        LABELS_PATH: labels(taxonomy),
        f"{tensors.ANIMALS}/{VERSION}/model.py": _PYTHON_MODEL.format(about=public, module=tensors.ANIMALS),
        f"{tensors.ANIMALS}/{VERSION}/{TAXONOMY_NAME}": taxonomy_csv,
    }


def write_texts(root: Path, files: dict[str, str]) -> None:
    """Write files below ``root``, with their folders."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def refuse_strangers(out: Path) -> None:
    """Replacing must not delete what no release wrote."""
    if not out.exists():
        return
    strangers = sorted(entry.name for entry in out.iterdir() if entry.name not in (*MODELS, CARD))
    if strangers:
        raise RepositoryError(f"{out} also holds {', '.join(strangers)}. Give --out a directory of its own.")


def swap(fresh: Path, out: Path, previous: Path) -> None:
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
