"""The forms of a classifier that were taught more species, each held against its network on real photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contract.engines import computes_in_bf16
from contract.tensors import IMAGE, MAX_BATCH
from export.errors import ParityError, RepositoryError
from export.extension import Extension
from export.layout import INT8_PATH, ONNX_PATH
from export.onnx_graph import write_onnx
from export.parity import check_overall, check_parity
from export.photos import Sample, chosen, decoded
from export.quantize import quantise
from export.quantized_graph import write_quantised
from export.taxa import TaxonAgreement, agreement_by_taxon, check_taxa
from export.tensorrt import check_installed, plan_predictor
from imaging.decode import Pixels
from postprocess.species import SpeciesSums
from training.evaluate import Figures, Predict, Probabilities, Progress
from training.predict import onnx_predictor, openvino_predictor, torch_predictor

FLOAT32: Final = "float32"
INT8: Final = "8-bit"
BFLOAT16: Final = "bfloat16"
TENSORRT: Final = "TensorRT"

FITTED: Final = 160
"""Photos, at most, that the 8-bit grids are fitted to: some of each species."""

COMPARED: Final = 1500
"""Photos, at most, that every form is asked about."""

IDENTICAL: Final = 60
"""Of these, how many are compared number by number, alone and in batches (:func:`export.parity.check_parity`)."""

LEAST: Final = 8
"""Fewer photos than this are no basis for 8-bit grids."""


@dataclass(frozen=True, slots=True)
class Forms:
    """What the gates found: agreement by taxon, and figures by name."""

    taxa: tuple[TaxonAgreement, ...]
    figures: Figures
    names: tuple[str, ...]


def write_forms(
    extension: Extension, samples: Sequence[Sample], fresh: Path, progress: Progress, *, tensorrt: bool
) -> Forms:
    """Write the float32 and the 8-bit classifier below ``fresh`` and compare them as the profiles run them: float32 in
    onnxruntime, 8-bit and, on a processor that can, bfloat16 in OpenVINO, and a TensorRT engine if asked for.

    Raises ParityError if one of them differs too much from the network, over all photos or on a taxon, TensorRTError
    if an engine cannot be built here, and RepositoryError if there are too few photos.
    """
    classifier, taxonomy = extension.classifier, extension.taxonomy
    files = {FLOAT32: fresh / ONNX_PATH, INT8: fresh / INT8_PATH}
    files[FLOAT32].parent.mkdir(parents=True, exist_ok=True)
    if tensorrt:
        check_installed()
    fitted = [pixels for _, pixels in decoded(chosen([one for one in samples if one.fitted], FITTED))]
    others = list(decoded(chosen([one for one in samples if not one.fitted], COMPARED)))
    if min(len(fitted), len(others)) < LEAST:
        raise RepositoryError(
            f"Only {len(fitted)} photos to fit the 8-bit form to and {len(others)} to compare it on could be decoded;"
            f" {LEAST} of each are needed. Give more with --photos."
        )
    progress("export: float32", 0, 1)
    write_onnx(classifier, files[FLOAT32], len(taxonomy))
    progress("export: 8 bits", 0, 1)
    write_quantised(classifier, quantise(classifier.network, np.stack(fitted)), taxonomy, files[INT8])
    pixels = [one for _, one in others]
    exact = torch_predictor(classifier)
    check_parity(exact, onnx_predictor(files[FLOAT32]), pixels[:: max(1, len(pixels) // IDENTICAL)])
    predictors = {FLOAT32: onnx_predictor(files[FLOAT32]), INT8: openvino_predictor(files[INT8])}
    if computes_in_bf16():  # else there is nobody here to ask
        predictors[BFLOAT16] = openvino_predictor(files[FLOAT32], "bf16")
    if tensorrt:
        predictors[TENSORRT] = plan_predictor(files[FLOAT32], IMAGE)
    wanted = _ask("network", exact, pixels, progress)
    found = {form: _ask(form, predict, pixels, progress) for form, predict in predictors.items()}
    figures: Figures = {"parity.photos": float(len(pixels))}
    correct = _correct(wanted, others, extension)
    for form, leaves in found.items():
        agreement, lost = _overall(wanted, leaves, correct, others, extension)
        check_overall(form, agreement, lost, len(pixels))
        figures |= {f"parity.{form}.agreement": round(agreement, 4), f"parity.{form}.lost": round(lost, 4)}
    rows = agreement_by_taxon(wanted, found, taxonomy, extension.evaluation.calibration.sure_from)
    check_taxa(rows)
    return Forms(rows, figures, tuple(found))


def _ask(form: str, predict: Predict, pixels: Sequence[Pixels], progress: Progress) -> Probabilities:
    answers = []
    for start in range(0, len(pixels), MAX_BATCH):
        answers.append(predict(np.stack(pixels[start : start + MAX_BATCH])))
        progress(f"parity: {form}", start, len(pixels))
    result: Probabilities = np.concatenate(answers)
    if not np.isfinite(result).all():
        raise ParityError(f"The {form} form answers with numbers that are not finite. Nothing was released.")
    return result


def _correct(leaves: Probabilities, photos: Sequence[tuple[Sample, Pixels]], extension: Extension) -> list[bool | None]:
    """Whether the best species is right for each photo; None where nobody says what is."""
    species_of = extension.taxonomy.species_of_leaf
    best = SpeciesSums(extension.taxonomy).of(leaves).argmax(axis=1)
    return [
        int(species) in {species_of[leaf] for leaf in sample.accepted} if sample.accepted else None
        for species, (sample, _) in zip(best, photos, strict=True)
    ]


def _overall(
    wanted: Probabilities,
    found: Probabilities,
    correct: Sequence[bool | None],
    photos: Sequence[tuple[Sample, Pixels]],
    extension: Extension,
) -> tuple[float, float]:
    """Share of photos on which both name the same species, or neither is sure of one and so none is answered; share
    of right answers that the form costs, sure or not, where somebody says what is right."""
    sure_from = extension.evaluation.calibration.sure_from
    sums = [SpeciesSums(extension.taxonomy).of(leaves) for leaves in (wanted, found)]
    best = [of.argmax(axis=1) for of in sums]
    unsure = (sums[0].max(axis=1) < sure_from) & (sums[1].max(axis=1) < sure_from)
    agreement = float(((best[0] == best[1]) | unsure).mean())
    told = [(was, now) for was, now in zip(correct, _correct(found, photos, extension), strict=True) if was is not None]
    lost = sum(bool(was) - bool(now) for was, now in told) / len(told) if told else 0.0
    return agreement, lost
