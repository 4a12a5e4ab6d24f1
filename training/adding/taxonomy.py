"""A release's taxonomy with more species, and what the network knows of their relatives."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import torch

from contract.taxonomy import COLUMNS, NO_ANIMAL, RANKS, Leaf, Taxonomy, TaxonomyError, parse_taxonomy
from training.errors import DataError
from training.mobilenet import MobileNetV2
from training.network import NEW_ROW_BIAS, count_rows, leaf_rows


def extended(base_text: str, species: Sequence[Mapping[str, str]]) -> str:
    """The CSV text of a taxonomy with more leaves: rows of ``contract.taxonomy.COLUMNS``, in the order given.

    The base's leaves keep their order and, all but ``no_animal``, their numbers: new ones follow the last
    animal, as ``no_animal`` has to be the last leaf of every taxonomy. Raises DataError for a leaf that
    is there already, or whose common name is another species'.
    """
    base = parse_taxonomy(base_text)
    names, known = set(base.species_names), keys(base)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    for row in species:
        leaf, name = row["leaf"], row["common_name"]
        if leaf in known:
            raise DataError(f"The base release has the leaf {leaf!r} already: give the new species another key.")
        if name in names:
            raise DataError(f"{name!r} is the common name of another species: give the leaf {leaf!r} another one.")
        names.add(name)
        writer.writerow({column: row.get(column, "") for column in COLUMNS} | {"imagenet_row": ""})
    lines = base_text.splitlines(keepends=True)
    text = "".join(lines[:-1]) + buffer.getvalue() + lines[-1]
    try:
        parse_taxonomy(text)
    except TaxonomyError as error:
        raise DataError(f"The new species make no taxonomy. {error}") from error
    return text


def keys(taxonomy: Taxonomy) -> frozenset[str]:
    """Of all leaves."""
    return frozenset(leaf.key for leaf in taxonomy)


def relatives(leaf: Leaf, taxonomy: Taxonomy) -> list[Leaf]:
    """The leaves that share the narrowest rank with ``leaf`` that any shares; none if not even a class is shared."""
    for place in reversed(range(len(RANKS))):
        if leaf.ranks[place]:
            near = [other for other in taxonomy if other.ranks[place] == leaf.ranks[place] and other.key != NO_ANIMAL]
            if near:
                return near
    return []


def with_new_rows(network: MobileNetV2, base: Taxonomy, taxonomy: Taxonomy) -> MobileNetV2:
    """A copy with a logit for each new leaf: the mean of its relatives' weights, and their mean bias.

    Where it has none, zero weights and ``NEW_ROW_BIAS``.
    """
    result = MobileNetV2(count_rows(taxonomy))
    result.blocks.load_state_dict(network.blocks.state_dict())
    rows = leaf_rows(taxonomy)
    width, known = network.head.out_features, keys(base)
    with torch.no_grad():
        result.head.weight[:width] = network.head.weight
        result.head.bias[:width] = network.head.bias
        for leaf in taxonomy:
            if leaf.key == NO_ANIMAL or leaf.key in known:
                continue
            kin = [rows[other.index] for other in relatives(leaf, base)]
            result.head.weight[rows[leaf.index]] = network.head.weight[kin].mean(dim=0) if kin else 0.0
            result.head.bias[rows[leaf.index]] = network.head.bias[kin].mean() if kin else NEW_ROW_BIAS
    return result.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
