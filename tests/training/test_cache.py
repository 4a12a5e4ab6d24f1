"""Views are computed once, and again when they would come out differently."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.base_weights import load_base  # noqa: E402
from training.cache import cache_views  # noqa: E402
from training.dataset import BASE_WEIGHTS, read_manifest, trainable  # noqa: E402


def test_kept_views_are_used_until_photos_or_seed_change(data: Path, tmp_path: Path) -> None:
    photos = trainable(read_manifest(data))[:2]
    base = load_base(data / BASE_WEIGHTS)
    done: list[int] = []

    def progress(what: str, at: int, total: int) -> None:
        done.append(at)

    first = cache_views(base, data, photos, 2, 7, tmp_path, progress)
    assert done
    assert [view.trunk.shape[0] for view in first] == [2, 2]
    done.clear()
    again = cache_views(base, data, photos, 2, 7, tmp_path, progress)
    assert not done
    assert torch.equal(first[1].trunk, again[1].trunk)
    cache_views(base, data, photos, 2, 8, tmp_path, progress)
    assert done
