"""A fine-tuning run can be cut off and goes on as if nothing had happened."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from imaging.decode import Pixels  # noqa: E402
from training.dataset import Photo  # noqa: E402
from training.detector.scenes import Scene  # noqa: E402
from training.detector.tune import Recipe, tune  # noqa: E402
from training.detector.yolox import YoloxNano  # noqa: E402

RECIPE = Recipe(epochs=2, batch=2, exact_epochs=1)
SCENES = [
    Scene(Photo(name, "boxes", "lion", "", "CC-BY-4.0"), np.array([[0.2, 0.2, 0.6, 0.7]], np.float32))
    for name in ("a", "b")
]


class Stopped(Exception):
    """The machine went down."""


def pixels(photo: Photo) -> Pixels:
    return np.random.default_rng(ord(photo.path)).integers(0, 256, (80, 90, 3), dtype=np.uint8)


def run(out: Path, *, stop_after: int = 99) -> dict[str, torch.Tensor]:
    def progress(what: str, done: int, total: int) -> None:
        if what.startswith("loss") and done == stop_after:
            raise Stopped

    torch.manual_seed(1)
    return tune(YoloxNano(2), SCENES, pixels, RECIPE, 3, out, progress).state_dict()


def test_a_run_that_was_cut_off_ends_where_one_in_one_go_does(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "cut", stop_after=1)
    resumed = run(tmp_path / "cut")
    start = YoloxNano(2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["heads.0.box.weight"], start.heads[0].box.weight)


def test_first_layers_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(1)
    start = YoloxNano(2).state_dict()
    tuned = run(tmp_path)
    changed = {name for name in start if not torch.equal(start[name], tuned[name])}
    assert not {name for name in changed if name.startswith(("trunk.stem", "trunk.stages.0", "trunk.stages.1"))}
    assert any(name.startswith("trunk.stages.2") for name in changed)
