"""A release with more species: made whole from a checkpoint and the release that was taught, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from typer.testing import CliRunner  # noqa: E402

from contract.release import Release  # noqa: E402
from contract.taxonomy import parse_taxonomy  # noqa: E402
from export.cli import app  # noqa: E402
from export.errors import ParityError, RepositoryError, TensorRTError  # noqa: E402
from export.extend import Order, extend_release  # noqa: E402
from export.forms import FLOAT32, INT8  # noqa: E402
from export.layout import DETECTOR_PATH, LABELS_PATH, ONNX_PATH, file_digests  # noqa: E402
from export.taxa import MIN_PHOTOS, agreement_by_taxon, check_taxa  # noqa: E402
from rollout.gates import check_release  # noqa: E402
from tests.support.additions import MONKEYS, make_addition  # noqa: E402
from tests.support.releases import REPOSITORY, TAXONOMY_PATH, read_release  # noqa: E402
from training.errors import CheckpointError  # noqa: E402
from training.predict import onnx_predictor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch itself


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, cat_path: Path) -> Path:
    """A folder of 48 cut-outs of the cat, some mirrored, brighter or blurred, and one file that is no photo."""
    folder = tmp_path_factory.mktemp("pictures") / "egyptian_cat"
    folder.mkdir()
    cat = cv2.imread(str(cat_path))
    random = np.random.default_rng(1)
    for number in range(48):
        x, y = int(random.integers(0, 120)), int(random.integers(0, 60))
        part = cat[y : y + 230, x : x + 300, :]
        part = part[:, ::-1] if number % 2 else part
        part = cv2.convertScaleAbs(part, alpha=float(random.uniform(0.7, 1.3)))
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), part)
    (folder / "notes.txt").write_text("no photo")
    return folder.parent


@pytest.fixture(scope="module")
def addition(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkpoint of two more species, and the text of its taxonomy."""
    return make_addition(tmp_path_factory.mktemp("addition"), REPOSITORY)


@pytest.fixture(scope="module")
def extended(
    tmp_path_factory: pytest.TempPathFactory, pictures: Path, addition: tuple[Path, str]
) -> tuple[Path, Release, str]:
    """A release of it, made with the command: its folder, its manifest and the text of its taxonomy."""
    out = tmp_path_factory.mktemp("extended") / "release"
    checkpoint, text = addition
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several of them wait for each other where the machine has other work
    done = CliRunner().invoke(
        app,
        ["extend", "--base", str(REPOSITORY), "--checkpoint", str(checkpoint), "--photos", str(pictures), "--name", "3",
         "--max-disagreement", "0.6", "--json", "--out", str(out)],
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    release = read_release(out)
    assert told["release"] == release.identity
    assert told["evaluation"] == release.evaluation
    return out, release, text


def spoilt(addition: tuple[Path, str], folder: Path, **changes: object) -> Path:
    """A copy of the addition whose checkpoint has other values; None takes one out."""
    shutil.copytree(addition[0].parent, folder)
    saved = torch.load(folder / "checkpoint.pt", weights_only=True) | changes
    torch.save({key: value for key, value in saved.items() if value is not None}, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def test_it_passes_the_gates_and_names_what_the_champion_cannot(extended: tuple[Path, Release, str]) -> None:
    folder, release, _ = extended
    findings = check_release(folder)
    assert findings.release == release.identity == read_release(folder).identity
    assert findings.leaves == 416


def test_old_leaves_keep_their_numbers_and_new_ones_follow(extended: tuple[Path, Release, str]) -> None:
    folder, release, text = extended
    assert (folder / TAXONOMY_PATH).read_text() == text
    keys = [leaf.key for leaf in parse_taxonomy(text)]
    old = [leaf.key for leaf in parse_taxonomy((REPOSITORY / TAXONOMY_PATH).read_text())]
    assert keys == [*old[:-1], *(row["leaf"] for row in MONKEYS), "no_animal"]
    assert (folder / LABELS_PATH).read_text().splitlines() == keys
    assert "dims: 416" in (folder / "classifier/config.pbtxt").read_text()
    assert release.files == file_digests(folder)


def test_everything_but_the_classifier_is_the_base_releases(extended: tuple[Path, Release, str]) -> None:
    _, release, _ = extended
    base = read_release(REPOSITORY)
    for path in (DETECTOR_PATH, "detector/config.pbtxt", "preprocess/1/dali.py", "animals/config.pbtxt"):
        assert release.files[path] == base.files[path], path
    assert (release.thresholds.detect_from, release.thresholds.overlap) == (
        base.thresholds.detect_from,
        base.thresholds.overlap,
    )
    assert release.thresholds.sure_from == 0.55, "calibrated anew"
    assert release.bounds.max_disagreement == 0.6
    assert release.bounds.min_photos == base.bounds.min_photos
    assert release.evaluation["new.top1"] == 0.91
    assert release.evaluation["detector.exact_count"] == base.evaluation["detector.exact_count"]
    assert set(base.training.data) <= set(release.training.data)


def test_old_answers_stay_but_for_what_goes_to_new_leaves(
    extended: tuple[Path, Release, str], cat_path: Path, pictures: Path
) -> None:
    files = sorted((pictures / "egyptian_cat").glob("*.jpg"))[:4]
    pixels = np.stack([cv2.resize(cv2.imread(str(file))[:, :, ::-1], (224, 224)) for file in files])
    before, after = (onnx_predictor(folder / ONNX_PATH)(pixels) for folder in (REPOSITORY, extended[0]))
    share = 1 - after[:, 413:415].sum(axis=1, keepdims=True)
    assert np.allclose(before[:, :413] * share, after[:, :413], atol=2e-3)


def test_the_card_has_the_figures_the_taxa_and_the_licences(extended: tuple[Path, Release, str]) -> None:
    folder, release, _ = extended
    card = (folder / "MODEL_CARD.md").read_text()
    assert "| `japanese_macaque` | Japanese macaque | Macaca fuscata |" in card
    assert "91.0 %" in card and "0.5 points" in card
    assert "## The detector" in card and "## What the licences mean" in card
    assert release.evaluation[f"parity.{FLOAT32}.agreement"] == 1.0
    assert f"parity.{INT8}.agreement" in release.evaluation
    assert "| species | 3" in card, "the table of agreement by taxon"
    for source in release.training.data:
        assert source.attribution in card
    assert "/work" not in card and str(folder) not in card


def test_a_taxon_that_a_form_lost_is_named() -> None:
    taxonomy = parse_taxonomy((REPOSITORY / TAXONOMY_PATH).read_text())
    lion, tiger, hen = (taxonomy.by_key(key).index for key in ("lion", "tiger", "hen"))
    exact = np.zeros((300, len(taxonomy)), np.float32)
    exact[:MIN_PHOTOS, lion] = 1
    exact[MIN_PHOTOS : MIN_PHOTOS + 5, tiger] = 1
    exact[MIN_PHOTOS + 5 :, hen] = 1
    confused = exact.copy()
    confused[:4, [lion, tiger]] = 0, 1
    confused[MIN_PHOTOS, [tiger, hen]] = 0, 1
    rows = agreement_by_taxon(exact, {"8-bit": confused}, taxonomy)
    found = {(row.rank, row.taxon): (row.photos, row.agreed["8-bit"]) for row in rows}
    assert found["species", "lion"] == (MIN_PHOTOS, MIN_PHOTOS - 4)
    assert found["species", "tiger"] == (5, 4)
    assert found["genus", "Panthera"] == (MIN_PHOTOS + 5, MIN_PHOTOS + 4), "a tiger for a lion is the right genus"
    with pytest.raises(ParityError, match=r"The 8-bit form agrees .* on 80\.0% of 20 photos of the species lion;"):
        check_taxa(rows)
    check_taxa(tuple(row for row in rows if row.taxon != "lion"))


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"base_release": "1@000000000000"}, RepositoryError, "was made from release 1@000000000000"),
        ({"taxonomy": None}, CheckpointError, "adds no species"),
        ({"taxonomy": "leaf\n"}, CheckpointError, "cannot be read"),
        ({"backbone": "microsoft/resnet-18"}, CheckpointError, "backbone microsoft/resnet-18"),
        ({"state": {}}, CheckpointError, "does not fit"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    changes: dict[str, object], error: type[Exception], reason: str, addition: tuple[Path, str], tmp_path: Path
) -> None:
    checkpoint = spoilt(addition, tmp_path / "training", **changes)
    with pytest.raises(error, match=reason):
        extend_release(Order(REPOSITORY, checkpoint, (tmp_path,), tmp_path / "out", "3"), silent)
    assert not (tmp_path / "out").exists()


def test_new_leaves_among_the_old_ones_are_refused(addition: tuple[Path, str], tmp_path: Path) -> None:
    lines = addition[1].splitlines(keepends=True)
    moved = "".join([lines[0], lines[-2], *lines[1:-2], lines[-1]])
    checkpoint = spoilt(addition, tmp_path / "training", taxonomy=moved)
    with pytest.raises(CheckpointError, match="new leaves have to follow the old ones"):
        extend_release(Order(REPOSITORY, checkpoint, (tmp_path,), tmp_path / "out", "3"), silent)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        extend_release(Order(REPOSITORY, tmp_path / "checkpoint.pt", (tmp_path,), tmp_path / "o", "3"), silent)


def test_a_base_release_that_was_changed_is_refused(addition: tuple[Path, str], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(REPOSITORY, base)
    (base / LABELS_PATH).write_text("tench\n")
    with pytest.raises(RepositoryError, match=r"labels\.txt in .* is not as its manifest says"):
        extend_release(Order(base, addition[0], (tmp_path,), tmp_path / "out", "3"), silent)


def test_too_few_photos_are_refused(addition: tuple[Path, str], tmp_path: Path, pictures: Path) -> None:
    few = tmp_path / "few" / "cat"
    few.mkdir(parents=True)
    shutil.copy(sorted((pictures / "egyptian_cat").glob("*.jpg"))[0], few)
    with pytest.raises(RepositoryError, match="Give more with --photos"):
        extend_release(Order(REPOSITORY, addition[0], (tmp_path / "few",), tmp_path / "out", "3"), silent)
    with pytest.raises(RepositoryError, match="There is no folder"):
        extend_release(Order(REPOSITORY, addition[0], (tmp_path / "no",), tmp_path / "out", "3"), silent)


def test_an_engine_that_cannot_be_built_is_said(addition: tuple[Path, str], pictures: Path, tmp_path: Path) -> None:
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(TensorRTError, match="tensorrt is not installed"):
            extend_release(Order(REPOSITORY, addition[0], (pictures,), tmp_path / "o", "3", tensorrt=True), silent)
    else:
        pytest.skip("TensorRT is installed here")


def test_the_command_says_why_not(addition: tuple[Path, str], tmp_path: Path) -> None:
    refused = CliRunner().invoke(
        app,
        ["extend", "--base", str(tmp_path), "--checkpoint", str(addition[0]), "--photos", str(tmp_path), "--name", "3",
         "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert refused.exit_code == 1
    assert "There is no release in" in refused.output
    assert "Traceback" not in refused.output
