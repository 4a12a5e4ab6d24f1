"""How species are added: what is tuned, how strongly, and on how much of the old."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class AddRecipe:
    """Rates are AdamW's at the start; they fall to 0 along a cosine over ``epochs``."""

    name: str = "added"
    epochs: int = 20
    """At most; it ends once ``patience`` epochs have not lowered the loss on validation photos."""
    patience: int = 5
    head_rate: float = 1e-3
    block_rate: float = 1e-4
    """Of the last blocks, or of a Hugging Face backbone; 0 trains the head alone."""
    weight_decay: float = 0.0
    forgetting: float = 1.0
    """Weight of :func:`training.losses.forgetting_loss`, distillation against the base release, on all photos."""
    old_per_class: int = 20
    """Photos of each old folder that are mixed in, where old photos are given; 0 is distillation alone."""
    views: int = 8
    """Random views of every photo; epoch ``e`` sees view ``e``, around and around."""
    batch: int = 64

    def to_dict(self) -> dict[str, float | str]:
        """By field, as the checkpoint and the tracker have it."""
        return asdict(self)
