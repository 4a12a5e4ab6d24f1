"""The pipeline of ``animals`` with networks that do as they are told: who is asked what, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.options import Options, Task
from contract.photo_status import PhotoStatus
from contract.preprocessing import IMAGE_SIZE, SCENE_SIZE
from contract.taxonomy import Depth, parse_taxonomy
from contract.tensors import CLASSIFIER, DETECTIONS, DETECTOR, IMAGE, MAX_CANDIDATES, PREPROCESS, probabilities
from serving.models.decoding import InlineDecoder, PreprocessDecoder
from serving.models.errors import ModelCallError
from serving.models.naming import Naming
from serving.models.pipeline import CLASSIFY_AT_ONCE, DETECT_AT_ONCE, Pipeline
from tests.support.stack import ROOT

TAXONOMY = parse_taxonomy((ROOT / "contract" / "taxonomy.csv").read_text())
LION, TIGER = (TAXONOMY.by_key(key).index for key in ("lion", "tiger"))
THRESHOLDS = {"detect_from": 0.4, "overlap": 0.5, "sure_from": 0.6, "empty_from": 0.5, "alternatives_from": 0.1}
PROBABILITIES = probabilities(len(TAXONOMY)).name


class Networks:
    """Answers calls: every photo has the given boxes, every picture the given leaves."""

    def __init__(self) -> None:
        self.boxes: list[tuple[float, float, float, float, float]] = []
        self.leaves = {LION: 0.9}
        self.calls: list[tuple[str, int]] = []
        self.error: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, model: str, inputs: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
        batch = next(iter(inputs.values()))
        with self._lock:
            self.calls.append((model, len(batch)))
        if model in self.error:
            raise ModelCallError(self.error[model])
        if model == DETECTOR:
            assert batch.shape[1:] == (SCENE_SIZE, SCENE_SIZE, 3)
            detections = np.zeros((len(batch), MAX_CANDIDATES, 5), np.float32)
            for row, box in enumerate(self.boxes):
                detections[:, row] = box
            return {DETECTIONS.name: detections}
        assert batch.shape[1:] == IMAGE.shape
        leaves = np.zeros((len(batch), len(TAXONOMY)), np.float32)
        for leaf, score in self.leaves.items():
            leaves[:, leaf] = score
        leaves[:, -1] = 1 - leaves.sum(axis=1)
        return {PROBABILITIES: leaves}

    def asked(self, model: str) -> list[int]:
        return [count for name, count in self.calls if name == model]


@pytest.fixture
def networks() -> Networks:
    return Networks()


@pytest.fixture
def pipeline(networks: Networks) -> Pipeline:
    made = Pipeline(networks, InlineDecoder(), len(TAXONOMY), THRESHOLDS["detect_from"], THRESHOLDS["overlap"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def naming() -> Naming:
    return Naming(TAXONOMY, THRESHOLDS)


TWO = [(0.1, 0.1, 0.4, 0.4, 0.9), (0.11, 0.1, 0.4, 0.4, 0.8), (0.5, 0.1, 0.9, 0.4, 0.7), (0.5, 0.5, 0.6, 0.6, 0.3)]
"""Two animals, one of them found twice, and a candidate that is too weak. The cat's photo is 451 x 300."""


@pytest.mark.parametrize(
    ("task", "detected", "classified"), [(Task.SPECIES, [], [1]), (Task.COUNT, [1], []), (Task.FULL, [1], [2])]
)
def test_each_task_asks_only_the_networks_that_it_needs(
    pipeline: Pipeline, networks: Networks, cat: bytes, task: Task, detected: list[int], classified: list[int]
) -> None:
    networks.boxes = TWO
    pipeline.run([cat], [Options(task)])
    assert networks.asked(DETECTOR) == detected
    assert networks.asked(CLASSIFIER) == classified


def test_an_animal_found_twice_counts_once(pipeline: Pipeline, networks: Networks, cat: bytes) -> None:
    networks.boxes = TWO
    (found,), _ = pipeline.run([cat], [Options()])
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.boxes[0].tolist() == pytest.approx([0.1, 0.1 * 416 / 277, 0.4, 0.4 * 416 / 277], abs=1e-4)


def test_a_request_s_own_thresholds_count(pipeline: Pipeline, networks: Networks, cat: bytes) -> None:
    networks.boxes = TWO
    options = [Options(detect_from=0.2), Options(detect_from=0.95), Options(overlap=0.999)]
    found, _ = pipeline.run([cat] * 3, options)
    assert [len(one.boxes) for one in found] == [3, 0, 3]


def test_a_photo_without_animals_is_classified_as_a_whole(pipeline: Pipeline, networks: Networks, cat: bytes) -> None:
    (found,), _ = pipeline.run([cat], [Options()])
    assert networks.asked(CLASSIFIER) == [1]
    assert found.leaves is not None
    assert found.box_leaves is None


def test_photos_of_one_batch_are_classified_together_and_answered_apart(
    pipeline: Pipeline, networks: Networks, cat: bytes
) -> None:
    networks.boxes = TWO
    tasks = [Options(Task.SPECIES), Options(), Options(Task.COUNT), Options(), Options(Task.SPECIES)]
    found, _ = pipeline.run([cat] * 5, tasks)
    assert sorted(networks.asked(DETECTOR)) == [1, DETECT_AT_ONCE]
    assert sorted(networks.asked(CLASSIFIER)) == [2, CLASSIFY_AT_ONCE], (
        "two whole photos, and two animals of each of two"
    )
    assert [len(one.boxes) for one in found] == [0, 2, 2, 2, 0]
    assert [one.leaves is None for one in found] == [False, False, True, False, False]


def test_a_bad_photo_costs_only_itself(pipeline: Pipeline, networks: Networks, cat: bytes) -> None:
    networks.boxes = TWO
    found, _ = pipeline.run([cat, b"nonsense", b"", cat], [Options()] * 4)
    assert [one.opened.status for one in found] == [
        PhotoStatus.OK, PhotoStatus.NOT_AN_IMAGE, PhotoStatus.EMPTY, PhotoStatus.OK,
    ]  # fmt: skip
    assert [len(one.boxes) for one in found] == [2, 0, 0, 2]


@pytest.mark.parametrize("model", [DETECTOR, CLASSIFIER])
def test_a_failed_network_is_said(pipeline: Pipeline, networks: Networks, cat: bytes, model: str) -> None:
    networks.error = {model: "out of memory"}
    with pytest.raises(ModelCallError, match="out of memory"):
        pipeline.run([cat], [Options()])


def test_boxes_and_photo_are_named(pipeline: Pipeline, networks: Networks, naming: Naming, cat: bytes) -> None:
    networks.boxes = TWO
    networks.leaves = {LION: 0.5, TIGER: 0.45}
    found, _ = pipeline.run([cat], [Options()])
    photo = naming.of_photos(found)
    assert photo.ids[0, :2].tolist() == [LION, TIGER]
    assert photo.taxon[0].tolist() == [LION, Depth.GENUS]
    assert photo.alternatives[0, 0] == 2
    assert found[0].box_leaves is not None
    boxes = naming.of_boxes(found[0].box_leaves, Options(sure_from=0.4))
    assert boxes.taxon.tolist() == [[LION, Depth.SPECIES]] * 2


@pytest.mark.parametrize(
    ("task", "best", "leaves", "depth"),
    [
        (Task.COUNT, 0.9, {}, Depth.ANIMAL),
        (Task.COUNT, 0.1, {}, Depth.EMPTY),
        (Task.COUNT, 0.3, {}, Depth.UNKNOWN),
        (Task.FULL, 0.1, {}, Depth.EMPTY),
        (Task.FULL, 0.1, {LION: 0.9}, Depth.SPECIES),
        (Task.FULL, 0.1, {LION: 0.3, 5: 0.3}, Depth.EMPTY),
        (Task.FULL, 0.3, {LION: 0.3, 5: 0.3}, Depth.UNKNOWN),
        (Task.FULL, 0.9, {}, Depth.ANIMAL),
        (Task.SPECIES, 0.9, {}, Depth.EMPTY),
    ],
)
def test_what_the_detector_says_counts_for_the_whole_photo(
    pipeline: Pipeline, networks: Networks, naming: Naming, cat: bytes,
    task: Task, best: float, leaves: dict[int, float], depth: Depth,
) -> None:  # fmt: skip
    networks.boxes = [(0.1, 0.1, 0.4, 0.4, best)]
    networks.leaves = leaves
    found, _ = pipeline.run([cat], [Options(task)])
    assert naming.of_photos(found).taxon[0, 1] == depth


def test_a_box_that_the_classifier_calls_empty_is_an_unknown_animal(naming: Naming) -> None:
    nothing = np.zeros((1, len(TAXONOMY)), np.float32)
    nothing[0, -1] = 1
    assert naming.of_boxes(nothing, Options()).taxon.tolist() == [[-1, Depth.UNKNOWN]]


def test_only_healthy_jpegs_go_to_the_other_decoder(networks: Networks, cat: bytes, cat_path: Path) -> None:
    networks.error = {PREPROCESS: "out of memory"}
    decoder = PreprocessDecoder(networks)
    for photo in (b"nonsense", cat[: len(cat) * 4 // 5], cat_path.read_bytes()):
        decoder.open(photo, Task.FULL)
    assert networks.asked(PREPROCESS) == []
    with pytest.raises(ModelCallError):
        decoder.open(cat, Task.FULL)


def test_what_the_other_decoder_refuses_is_decoded_here(networks: Networks, cat: bytes) -> None:
    networks.error = {PREPROCESS: "nvidia.dali: decoders__Image: cannot be read"}
    opened = PreprocessDecoder(networks).open(cat, Task.SPECIES)
    assert networks.asked(PREPROCESS) == [1]
    assert opened.status is PhotoStatus.OK
    assert opened.image is not None
    assert opened.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
