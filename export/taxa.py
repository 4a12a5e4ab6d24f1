"""Agreement of an exported graph with its network, taxon by taxon: an average hides the species that it lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from contract.taxonomy import RANKS, Taxonomy
from export.errors import ParityError
from postprocess.species import SpeciesSums
from training.evaluate import Probabilities

MIN_PHOTOS: Final = 20
"""Fewer photos of a taxon say nothing of it: two that lie on the border to another species are a tenth of them."""

MIN_TAXON_AGREEMENT: Final = 0.85
"""Share of a taxon's photos, by the network's own answer, on which a graph must give the same taxon. Release 2's 8-bit
form: 100 % wherever the network is sure, and 96 % on the worst of the taxa with 20 photos where it need not be."""

Rank = Literal["species", "genus"]


@dataclass(frozen=True, slots=True)
class TaxonAgreement:
    """Photos that the network takes for a taxon, and on how many of them each form of it does too, by its name."""

    rank: Rank
    taxon: str
    photos: int
    agreed: Mapping[str, int]

    def share(self, form: str) -> float:
        """0..1."""
        return self.agreed[form] / self.photos


def agreement_by_taxon(
    exact: Probabilities, forms: Mapping[str, Probabilities], taxonomy: Taxonomy, sure_from: float = 0.0
) -> tuple[TaxonAgreement, ...]:
    """Every species that the network answers on some photo, and every genus of several species, most photos first.

    ``exact`` and each of ``forms`` are FP32 [N, leaves] for the same photos; those count on which the network gives
    its best species ``sure_from`` or more.
    """
    sums = SpeciesSums(taxonomy)
    said = sums.of(exact)
    sure = said.max(axis=1) >= sure_from
    wanted = said[sure].argmax(axis=1)
    got = {form: sums.of(leaves[sure]).argmax(axis=1) for form, leaves in forms.items()}
    names = np.array(taxonomy.species_names)
    genera = _genera(taxonomy)
    rows = _rows("species", names[wanted], {form: names[best] for form, best in got.items()})
    rows += _rows("genus", genera[wanted], {form: genera[best] for form, best in got.items()})
    return tuple(sorted(rows, key=lambda row: (row.rank != "species", -row.photos, row.taxon)))


def check_taxa(rows: tuple[TaxonAgreement, ...]) -> None:
    """Raises ParityError naming the taxon on which a form agrees least, if that is less than it has to be."""
    weak = [
        (row.share(form), form, row)
        for row in rows
        for form in row.agreed
        if row.photos >= MIN_PHOTOS and row.share(form) < MIN_TAXON_AGREEMENT
    ]
    if not weak:
        return
    share, form, row = min(weak, key=lambda one: one[0])
    more = f" ({len(weak) - 1} more such)" if len(weak) > 1 else ""
    raise ParityError(
        f"The {form} form agrees with the network on {share:.1%} of {row.photos} photos of the {row.rank} {row.taxon}"
        f"{more}; at least {MIN_TAXON_AGREEMENT:.0%} have to. Nothing was released."
    )


def _genera(taxonomy: Taxonomy) -> npt.NDArray[np.str_]:
    """The genus of each species, '' where it has none or is alone in it."""
    place = RANKS.index("genus")
    of_species = {taxonomy.species_of_leaf[leaf.index]: leaf.ranks[place] for leaf in taxonomy}
    count = Counter(of_species.values())
    names = [of_species[species] for species in range(len(taxonomy.species_names))]
    return np.array([name if count[name] > 1 else "" for name in names])


def _rows(rank: Rank, wanted: npt.NDArray[np.str_], got: Mapping[str, npt.NDArray[np.str_]]) -> list[TaxonAgreement]:
    rows = []
    for taxon in sorted(set(wanted.tolist()) - {""}):
        mine = wanted == taxon
        agreed = {form: int((best[mine] == taxon).sum()) for form, best in got.items()}
        rows.append(TaxonAgreement(rank, taxon, int(mine.sum()), agreed))
    return rows
