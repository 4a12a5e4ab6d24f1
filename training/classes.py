"""What a folder of the data set means in the taxonomy: the set of leaves that are right for its photos.

A folder is broader than a leaf ('dog', 'crab') or names one that the base network lacks ('emu').
The sets were checked by eye and against the base network's answers on each folder.
"""

from __future__ import annotations

from typing import Final

from contract.taxonomy import NO_ANIMAL, RANKS, Depth, Taxonomy
from training.dataset import ADDED, BLANK, NO_ANIMAL_SET, Photo
from training.errors import DataError

SPECIES_FOLDERS: Final[dict[str, str]] = {
    "cat": "Felis catus",
    "dog": "Canis familiaris",
    "rooster": "Gallus gallus",
}
"""Folder -> scientific species; every leaf of that species is right."""

LEAF_FOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "butterfly": (
        "butterfly",
        "admiral_butterfly",
        "ringlet_butterfly",
        "monarch_butterfly",
        "cabbage_butterfly",
        "sulphur_butterfly",
        "lycaenid",
    ),
    "crab": ("dungeness_crab", "rock_crab", "fiddler_crab", "king_crab", "hermit_crab"),
    "crocodile": ("nile_crocodile", "american_alligator"),
    "elephant": ("tusker", "indian_elephant", "african_elephant"),
    # A third of Caltech-101's `Leopards` are cheetahs and a quarter jaguars; none is a snow leopard.
    "leopard": ("leopard", "cheetah", "jaguar"),
    "lobster": ("american_lobster", "spiny_lobster"),
    "nautilus": ("chambered_nautilus",),
    "panda": ("giant_panda",),
    "sea_turtle": ("loggerhead_turtle", "leatherback_turtle"),
    # Of new_species/, for evaluation only.
    "japanese_macaque": ("macaque",),
    "mantled_howler": ("howler_monkey",),
    "nilgiri_langur": ("langur",),
    "patas_monkey": ("patas",),
    "pygmy_marmoset": ("marmoset",),
    "silvery_marmoset": ("marmoset",),
    "white_headed_capuchin": ("capuchin",),
}
"""Folder -> right leaves, where the folder is not itself the key of the one right leaf."""

LINEAGES: Final[dict[str, tuple[str, str, str, str, str]]] = {
    "bald_uakari": ("Mammalia", "Primates", "Pitheciidae", "Cacajao", "Cacajao calvus"),
    "night_monkey": ("Mammalia", "Primates", "Aotidae", "Aotus", "Aotus nigriceps"),
}
"""Folder without a leaf -> scientific names by rank: what an ancestor must be to be right."""


def accepted_leaves(photo: Photo, taxonomy: Taxonomy) -> tuple[int, ...]:
    """Rows of the taxonomy that are right for a photo; empty if the taxonomy has none for its folder.

    Raises DataError for a folder of a trainable set without a right leaf.
    """
    if photo.set == NO_ANIMAL_SET or photo.cls == BLANK:
        return (taxonomy.by_key(NO_ANIMAL).index,)
    if photo.set == ADDED:
        return tuple(leaf.index for leaf in taxonomy if leaf.key == photo.cls)
    if photo.cls in SPECIES_FOLDERS:
        return tuple(leaf.index for leaf in taxonomy if leaf.ranks[-1] == SPECIES_FOLDERS[photo.cls])
    keys = LEAF_FOLDERS.get(photo.cls, (photo.cls,))
    leaves = tuple(leaf.index for leaf in taxonomy if leaf.key in keys)
    if len(leaves) != len(keys) and photo.set == "species":
        raise DataError(f"The folder species/{photo.cls} has no leaf in the taxonomy; add it to training/classes.py.")
    return leaves


def lineages(photo: Photo, taxonomy: Taxonomy) -> set[tuple[str, str, str, str, str]]:
    """Scientific names by rank of everything that the photo may show."""
    ranks = {taxonomy[leaf].ranks for leaf in accepted_leaves(photo, taxonomy)}
    return ranks or {LINEAGES[photo.cls]}


def named_rightly(photo: Photo, leaf: int, depth: int, taxonomy: Taxonomy) -> bool:
    """Whether a taxon, as :class:`postprocess.rollup.RollUp` answers it, holds what the photo shows.

    UNKNOWN says nothing and is never right.
    """
    accepted = accepted_leaves(photo, taxonomy)
    empty = taxonomy.by_key(NO_ANIMAL).index in accepted
    if depth <= Depth.ANIMAL:
        return depth == (Depth.EMPTY if empty else Depth.ANIMAL)
    if depth == Depth.SPECIES:
        return taxonomy.species_of_leaf[leaf] in {taxonomy.species_of_leaf[right] for right in accepted}
    rank = RANKS.index(Depth(depth).rank)
    return taxonomy[leaf].ranks[rank] in {names[rank] for names in lineages(photo, taxonomy)} - {""}
