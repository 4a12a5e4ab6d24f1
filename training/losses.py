"""What the network is trained on: the right set of leaves, and what the base network already knew."""

from __future__ import annotations

import torch

from contract.taxonomy import NO_ANIMAL, Taxonomy
from training.network import count_rows, leaf_rows, no_animal_rows


def accepted_rows(accepted: tuple[int, ...], taxonomy: Taxonomy) -> torch.Tensor:
    """Leaves of the taxonomy -> BOOL [rows], true for every logit that belongs to one of them."""
    rows = leaf_rows(taxonomy)
    mask = torch.zeros(count_rows(taxonomy), dtype=torch.bool)
    for leaf in accepted:
        mask[no_animal_rows(taxonomy) if taxonomy[leaf].key == NO_ANIMAL else [rows[leaf]]] = True
    return mask


def set_loss(logits: torch.Tensor, accepted: torch.Tensor) -> torch.Tensor:
    """Negative log of the summed probability of the accepted rows, per photo.

    logits FP32 [N, rows], accepted BOOL [N, rows] with at least one row each -> FP32 [N]. The
    marginal likelihood of a set-valued label: which leaf of the set it is stays open.
    """
    inside = logits.masked_fill(~accepted, -torch.inf)
    return logits.logsumexp(dim=1) - inside.logsumexp(dim=1)


def forgetting_loss(logits: torch.Tensor, base_logits: torch.Tensor, accepted: torch.Tensor) -> torch.Tensor:
    """KL divergence from the base network within the accepted rows and within the others, in nats.

    logits FP32 [N, rows], base_logits FP32 [N, its rows], accepted BOOL [N, rows] -> FP32 [N]. Learning
    without forgetting (Li and Hoiem, ECCV 2016, temperature 1), but either side is normalised for
    itself: how much falls to the accepted rows is what :func:`set_loss` teaches, and where the base is
    wrong the two must not pull against each other. Rows that the base lacks, the last ones, are left out.
    """
    known = base_logits.shape[1]
    mine = logits[:, :known]
    inside = accepted[:, :known]
    return _divergence(base_logits, mine, inside) + _divergence(base_logits, mine, ~inside)


def _divergence(base_logits: torch.Tensor, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """KL(base || mine) over the chosen rows, each distribution normalised over them; 0 where there are none."""
    out = torch.finfo(logits.dtype).min / 2
    base = base_logits.masked_fill(~rows, out).log_softmax(dim=1)
    mine = logits.masked_fill(~rows, out).log_softmax(dim=1)
    return (base.exp() * (base - mine)).masked_fill(~rows, 0.0).sum(dim=1)
