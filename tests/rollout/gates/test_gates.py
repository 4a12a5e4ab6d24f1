"""A sound release passes; each broken one is refused with a sentence that says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.release import Thresholds
from contract.rollout import Bounds
from imaging.decode import decode_picture
from rollout.errors import ReleaseBroken
from rollout.gates import check_release
from rollout.gates.__main__ import app
from rollout.gates.probes import probe_photos
from rollout.gates.sealed import check_files
from tests.support.photos import BAD_PHOTOS
from tests.support.releases import LABELS_PATH, REPOSITORY, TAXONOMY_PATH, make_release, read_release, seal

REASONS = {
    "corrupt onnx": r"classifier/1/model.*\.onnx cannot be loaded",
    "wrong shape": r"output has to be PROBABILITIES .*414\]; it is .*413\]",
    "missing label": r"labels\.txt and the taxonomy differ: label 8 .*413 labels, 414 leaves",
    "missing leaf": r"classifier/config\.pbtxt: of its outputs PROBABILITIES has to be FP32 \[413\]",
    "digest mismatch": r"detector/1/model\.onnx of .* its digest differs",
    "raises at load": r"model\.py cannot be loaded: RuntimeError: this release cannot be loaded",
    "exits at load": r"while loading animals/1/model\.py: exit code 3",
    "crashes at load": r"while loading animals/1/model\.py: signal SIGSEGV",
    "fails every request": r"fails on a photo: RuntimeError: this release cannot answer",
    "nan": r"classifier/1/model.*\.onnx answers with numbers that are not finite",
}


def test_the_committed_release_passes_beside_itself_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(REPOSITORY.rglob("*"))  # a Triton that served it may have left bytecode
    photos = [BAD_PHOTOS["truncated"].spoil(probe_photos()[0]), b"no photo", probe_photos()[0]]
    findings = check_release(REPOSITORY, photos, champion=REPOSITORY)
    assert findings.release == findings.champion == read_release(REPOSITORY).identity
    assert (findings.leaves, findings.graphs, findings.photos) == (414, 3, 6), "bad photos are refused, no more"
    assert findings.champion_median_ms is not None
    assert not (findings.lost or findings.gained or findings.notes)
    assert set(REPOSITORY.rglob("*")) == before, "checking leaves nothing in the folder"


@pytest.mark.parametrize("spoil", REASONS)
def test_a_broken_release_is_refused_with_the_reason(spoil: str, tmp_path: Path) -> None:
    if spoil in ("wrong shape", "nan"):
        pytest.importorskip("onnx")
    make_release(tmp_path / "broken", "3", spoil)
    with pytest.raises(ReleaseBroken, match=REASONS[spoil]):
        check_release(tmp_path / "broken")


def test_a_release_that_hangs_is_refused_and_ended(tmp_path: Path) -> None:
    make_release(tmp_path / "broken", "3", "hangs at load")
    with pytest.raises(ReleaseBroken, match="took more than 3 s, while"):
        check_release(tmp_path / "broken", limit_s=3)


@pytest.mark.parametrize("spoil", ["slow", pytest.param("slow network", marks=pytest.mark.long)])
def test_a_release_ten_times_slower_than_the_champion_is_refused(spoil: str, tmp_path: Path) -> None:
    if spoil == "slow network":
        pytest.importorskip("onnx")
    make_release(tmp_path / "broken", "3", spoil)
    with pytest.raises(ReleaseBroken, match=r"times as long, and its bounds let it take 2 times"):
        check_release(tmp_path / "broken", champion=REPOSITORY)


def test_its_own_bounds_decide_and_species_that_come_and_go_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder, "3", "slow")
    for path in (LABELS_PATH, TAXONOMY_PATH):
        file = folder / path
        file.write_text(file.read_text().replace("tench", "golden tench"))
    seal(folder, "3", bounds=Bounds(max_slowdown=10_000))
    findings = check_release(folder, champion=REPOSITORY)
    assert findings.champion_median_ms is not None
    assert findings.median_ms > findings.champion_median_ms
    assert (findings.lost, findings.gained) == (("tench",), ("golden tench",))


def test_a_champion_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    findings = check_release(REPOSITORY, champion=tmp_path)
    assert "could not be read" in findings.notes[0]


def test_a_stranger_and_a_missing_file_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder)
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ReleaseBroken, match=r"notes\.txt .* stands in no manifest"):
        check_files(folder)
    (folder / "notes.txt").unlink()
    (folder / LABELS_PATH).unlink()
    with pytest.raises(ReleaseBroken, match=r"classifier/labels\.txt .* is missing"):
        check_files(folder)


def test_a_link_is_no_file_of_a_release(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder)
    shutil.move(folder / LABELS_PATH, tmp_path / "labels.txt")
    (folder / LABELS_PATH).symlink_to(tmp_path / "labels.txt")
    with pytest.raises(ReleaseBroken, match="is a link"):
        check_files(folder)


@pytest.mark.parametrize("text", ["", "{}", '{"name": "3"}', "no JSON"])
def test_a_manifest_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "animals" / "1").mkdir(parents=True)
    (tmp_path / "animals" / "1" / "release.json").write_text(text)
    with pytest.raises(ReleaseBroken, match="manifest"):
        check_release(tmp_path)


def test_impossible_thresholds_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder)
    thresholds: Thresholds = read_release(folder).thresholds
    seal(folder, "3", thresholds=thresholds.model_copy(update={"sure_from": 1.5}))
    with pytest.raises(ReleaseBroken, match=r"threshold sure_from .* is 1\.5"):
        check_files(folder)


@pytest.mark.parametrize(
    ("path", "old", "new", "reason"),
    [
        ("animals/config.pbtxt", "dims: 64", "dims: 63", r"BOXES has to be FP32 \[64, 4\]; it says FP32 \[63, 4\]"),
        ("detector/config.pbtxt", '"model.onnx"', '"absent.onnx"', r"names absent\.onnx, which is not in detector/1"),
        ("animals/config.pbtxt", '"model.int8.onnx"', '"x.onnx"', r"names x\.onnx, which is not in classifier/1"),
        ("animals/configs/gpu.pbtxt", "TYPE_FP32", "TYPE_FP16", r"gpu\.pbtxt: of its outputs"),
        ("preprocess/config.pbtxt", "max_batch_size", "max_bach_size", "is no model configuration"),
        ("classifier/config.pbtxt", '"labels.txt"', '"names.txt"', r"classifier/names\.txt is missing"),
    ],
)
def test_a_configuration_has_to_fit_contract_and_files(
    path: str, old: str, new: str, reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    make_release(folder)
    text = (folder / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
    seal(folder, "3")
    with pytest.raises(ReleaseBroken, match=reason):
        check_release(folder)


def test_a_release_sees_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_SECRET", "hunter2")
    folder = tmp_path / "release"
    make_release(folder)
    (folder / "animals/1/model.py").write_text("import os\n\nraise RuntimeError(sorted(os.environ))\n")
    seal(folder, "3")
    with pytest.raises(ReleaseBroken, match="RuntimeError") as caught:
        check_release(folder)
    assert "BESTIARY_SECRET" not in str(caught.value)


def test_the_probes_are_photos_and_the_same_each_time() -> None:
    assert probe_photos() == probe_photos()
    sizes = [decode_picture(photo).pixels.shape for photo in probe_photos()]
    assert all(np.array(sizes)[:, 2] == 3)


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    make_release(tmp_path / "broken", "3", "missing label")
    runner = CliRunner()
    refused = runner.invoke(app, [str(tmp_path / "broken"), "--json"])
    assert refused.exit_code == 1
    assert "label 8" in json.loads(refused.stdout)["reason"]
    assert "python -m rollout.gates" in " ".join(runner.invoke(app, ["--help"]).stdout.split())
