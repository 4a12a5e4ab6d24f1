"""Species, count or everything, asked in each protocol, on a real Triton."""

from __future__ import annotations

import io
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
from PIL import ExifTags, Image
from tritonclient.utils import InferenceServerException

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from contract.tensors import NOT_COUNTED
from tests.support.photos import lawn, two_cats
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def cats(cat_path: Path) -> bytes:
    return two_cats(cat_path)


def post(stack: Stack, photo: bytes, **params: str) -> httpx.Response:
    return httpx.post(f"{stack.url}/v1/classifications", content=photo, params=params, timeout=30)


def test_every_animal_is_found_counted_and_named(stack: Stack, cats: bytes) -> None:
    record = post(stack, cats).json()
    assert (record["tasks"], record["count"], record["verdict"]) == ("full", 2, "animal")
    assert sum(record["counts"].values()) == 2
    left, right = sorted(record["boxes"], key=lambda box: box["x1"])
    assert left["x2"] < 0.6 < right["x2"]
    for box in (left, right):
        assert 0 <= box["x1"] < box["x2"] <= 1
        assert 0 <= box["y1"] < box["y2"] <= 1
        assert box["species"][0]["common_name"] == "domestic cat"
        assert box["alternatives"]["coverage"] > 0.5
    assert record["timings_ms"]["detect"] > 0


def test_species_is_the_whole_photo_without_boxes(stack: Stack, cat: bytes) -> None:
    record = post(stack, cat, tasks="species").json()
    assert (record["tasks"], record["count"], record["boxes"]) == ("species", None, [])
    assert record["taxon"]["common_name"] == "domestic cat"
    assert record["species"][0]["common_name"] == "domestic cat"


def test_count_has_boxes_without_names(stack: Stack, cats: bytes) -> None:
    record = post(stack, cats, tasks="count").json()
    assert (record["count"], record["counts"], record["species"]) == (2, {}, [])
    assert [box["taxon"] for box in record["boxes"]] == [None, None]
    assert record["taxon"]["rank"] == "animal"


def test_a_photo_without_animals_is_empty(stack: Stack) -> None:
    record = post(stack, lawn(), tasks="count").json()
    assert (record["verdict"], record["count"], record["taxon"]) == ("empty", 0, None)


def test_thresholds_can_be_set_by_the_caller(stack: Stack, cats: bytes) -> None:
    assert post(stack, cats, detect_from="1", tasks="count").json()["count"] == 0
    narrow = post(stack, cats, sure_from="0").json()
    broad = post(stack, cats, sure_from="1").json()
    assert narrow["taxon"]["rank"] == "species"
    assert broad["taxon"]["rank"] in {"animal", "unknown", "class"}


@pytest.mark.parametrize("params", [{"tasks": "everything"}, {"detect_from": "2"}, {"overlap": "much"}])
def test_parameters_that_make_no_sense_are_refused(stack: Stack, cat: bytes, params: dict[str, str]) -> None:
    answer = post(stack, cat, **params)
    assert answer.status_code == 400
    assert next(iter(params)) in answer.text


def test_grpc_has_the_same_options(stack: Stack, cats: bytes) -> None:
    with grpc.insecure_channel(stack.grpc) as channel:
        stub = BestiaryStub(channel)
        full = stub.Classify(pb.ClassifyRequest(photo=cats), timeout=30).classification
        counted = stub.Classify(pb.ClassifyRequest(photo=cats, tasks=pb.TASKS_COUNT), timeout=30).classification
        none = stub.Classify(
            pb.ClassifyRequest(photo=cats, tasks=pb.TASKS_COUNT, thresholds=pb.Thresholds(detect_from=1.0)), timeout=30
        ).classification
        with pytest.raises(grpc.RpcError) as caught:
            stub.Classify(pb.ClassifyRequest(photo=cats, thresholds=pb.Thresholds(overlap=7)), timeout=30)
    assert (full.tasks, full.count, len(full.boxes)) == (pb.TASKS_FULL, 2, 2)
    assert full.boxes[0].taxon.common_name
    assert full.taxon.score > 0
    assert (counted.tasks, counted.count, len(counted.species)) == (pb.TASKS_COUNT, 2, 0)
    assert (none.HasField("count"), none.count) == (True, 0)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("where", ["grpc", "triton_grpc"])
def test_kserve_parameters_mean_the_same_at_the_gateway_and_at_triton(stack: Stack, cats: bytes, where: str) -> None:
    model = stack.model("animals") if where == "triton_grpc" else "animals"
    with over_grpc.InferenceServerClient(getattr(stack, where)) as client:

        def infer(**parameters: str) -> over_grpc.InferResult:
            tensor = over_grpc.InferInput("PHOTO", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[cats]], dtype=object))
            return client.infer(model, [tensor], parameters=parameters)

        assert infer().as_numpy("COUNT").tolist() == [[2]]
        species = infer(tasks="species")
        assert species.as_numpy("COUNT").tolist() == [[NOT_COUNTED]]
        assert not species.as_numpy("BOXES").any()
        assert infer(tasks="count", detect_from="1").as_numpy("COUNT").tolist() == [[0]]
        with pytest.raises(InferenceServerException, match="species, count, full"):
            infer(tasks="everything")


def test_a_position_is_kept_only_for_who_asks(stack: Stack, cat_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "RECONYX", "HYPERFIRE 2"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "S", 2: (2.0, 30.0, 0.0), 3: "E", 4: (34.0, 45.0, 0.0)})
    buffer = io.BytesIO()
    with Image.open(cat_path) as image:
        image.convert("RGB").save(buffer, "JPEG", exif=exif)
    silent = post(stack, buffer.getvalue(), tasks="species").json()["photo"]
    told = post(stack, buffer.getvalue(), tasks="species", keep_location="true").json()["photo"]
    assert silent["camera"] == {"make": "RECONYX", "model": "HYPERFIRE 2", "serial": ""}
    assert silent["location"] is None
    assert told["location"] == {"latitude": -2.5, "longitude": 34.75}
