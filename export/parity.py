"""The gates between a network and its exported graphs: same answers on real photos, or no release."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from contract.photo_status import PhotoError
from contract.taxonomy import Taxonomy
from export.errors import ParityError
from export.taxa import agreement_by_taxon, check_taxa
from imaging.decode import Pixels, decode_photo
from postprocess.species import SpeciesSums
from training.dataset import read_manifest
from training.evaluate import Answers, Figures, Predict, right

MAX_DIFFERENCE: Final = 1e-4
"""Largest difference of any probability. FP32 kernels of two runtimes differ by about 1e-6 here."""

MIN_AGREEMENT: Final = 0.98
"""Share of held-back photos on which an 8-bit graph must name the same best species."""

MAX_LOST: Final = 0.01
"""Share of right answers that 8 bits may cost."""

BATCHES: Final = (1, 5)
"""Batch sizes that are compared: alone, and an odd number that no kernel is tuned for."""

FROM_MANIFEST: Final = 40


def parity_photos(data: Path) -> list[Pixels]:
    """Real photos of many sizes as UINT8 [224, 224, 3]: all readable ones of photos/, some of the manifest."""
    manifest = read_manifest(data)
    files = sorted((data / "photos").glob("*"))
    files += [data / photo.path for photo in manifest[:: max(1, len(manifest) // FROM_MANIFEST)]]
    return list(_decoded(files))


def check_parity(network: Predict, exported: Predict, photos: list[Pixels]) -> float:
    """Compare both on all photos in every batch size of ``BATCHES``; the largest difference found.

    Raises ParityError, saying what differs, if a best leaf is another one or a probability differs
    by ``MAX_DIFFERENCE`` or more.
    """
    worst = 0.0
    for size in BATCHES:
        for start in range(0, len(photos), size):
            pixels = np.stack(photos[start : start + size])
            wanted, got = network(pixels), exported(pixels)
            if wanted.shape != got.shape:
                raise ParityError(f"The exported graph answers {got.shape}, the network {wanted.shape}.")
            difference = float(np.abs(wanted - got).max())
            if not difference < MAX_DIFFERENCE:
                raise ParityError(
                    f"Probabilities differ by {difference:.2g} on photo {start} in batches of {size};"
                    f" the limit is {MAX_DIFFERENCE:.0e}. Nothing was released."
                )
            if (wanted.argmax(axis=1) != got.argmax(axis=1)).any():
                raise ParityError(f"The best leaf differs on photo {start} in batches of {size}. Nothing was released.")
            worst = max(worst, difference)
    return worst


def check_agreement(exact: Answers, quantised: Answers, taxonomy: Taxonomy) -> Figures:
    """Hold an 8-bit graph's answers to held-back photos against the network's, by species.

    Returns ``int8.agreement``, the share of photos with the same best species, and ``int8.lost``, the share of right
    answers that it costs. Raises ParityError as :func:`check_overall` and :func:`export.taxa.check_taxa`.
    """
    best = [SpeciesSums(taxonomy).of(answers.release).argmax(axis=1) for answers in (exact, quantised)]
    agreement = float((best[0] == best[1]).mean())
    correct = [right(answers.release, answers.photos, taxonomy).mean() for answers in (exact, quantised)]
    lost = float(correct[0] - correct[1])
    check_overall("8-bit", agreement, lost, len(exact.photos))
    check_taxa(agreement_by_taxon(exact.release, {"8-bit": quantised.release}, taxonomy))
    return {"int8.agreement": round(agreement, 4), "int8.lost": round(lost, 4)}


def check_overall(form: str, agreement: float, lost: float, photos: int) -> None:
    """Raises ParityError if a form of the classifier names the same best species on less than ``MIN_AGREEMENT`` of
    the photos, or costs more than ``MAX_LOST`` of the right answers."""
    if agreement < MIN_AGREEMENT:
        raise ParityError(
            f"The {form} form names another best species on {1 - agreement:.1%} of {photos} photos;"
            f" {1 - MIN_AGREEMENT:.1%} may. Nothing was released."
        )
    if lost > MAX_LOST:
        raise ParityError(
            f"The {form} form costs {lost:.1%} of the right answers; {MAX_LOST:.1%} may. Nothing was released."
        )


def _decoded(files: Iterable[Path]) -> Iterable[Pixels]:
    for file in files:
        try:
            yield decode_photo(file.read_bytes()).pixels
        except PhotoError:
            continue  # photos/ holds a truncated one on purpose
