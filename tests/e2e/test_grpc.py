"""bestiary.v1 over gRPC, on a real Triton."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from tests.support.photos import BAD_PHOTOS
from tests.support.stack import Stack

OPTIONS = (("grpc.max_send_message_length", -1),)


@pytest.fixture(scope="module")
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc, options=OPTIONS) as channel:
        yield channel


def test_a_photo_is_named_and_can_be_read_again(channel: grpc.Channel, cat: bytes) -> None:
    stub = BestiaryStub(channel)
    request = pb.ClassifyRequest(photo=cat, filename="cat.jpg", ack=pb.ACK_LEVEL_STORED)
    made = stub.Classify(request, timeout=30).classification
    assert made.species[0].common_name == "domestic cat"
    assert made.verdict == pb.VERDICT_ANIMAL
    assert (made.count, len(made.boxes)) == (1, 1)
    assert stub.GetClassification(pb.GetClassificationRequest(id=made.id), timeout=10) == made
    again = stub.Classify(pb.ClassifyRequest(blob=made.photo.blob, ack=pb.ACK_LEVEL_STORED), timeout=30).classification
    assert (again.taxon, again.photo.source) == (made.taxon, made.photo.blob)
    listed = stub.ListClassifications(pb.ListClassificationsRequest(page_size=1), timeout=10)
    assert listed.classifications[0].id == again.id


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_a_bad_photo_gets_a_typed_error_and_the_next_is_served(channel: grpc.Channel, cat: bytes, name: str) -> None:
    stub = BestiaryStub(channel)
    bad = BAD_PHOTOS[name]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(pb.ClassifyRequest(photo=bad.spoil(cat)), timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) in bad.reasons
    assert ". " in caught.value.details(), "what is wrong, and what to do"
    assert stub.Classify(pb.ClassifyRequest(photo=cat), timeout=30).classification.id


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.details[0].Unpack(info)
    assert info.domain == "bestiary"
    return info.reason


def test_a_bad_photo_in_a_stream_costs_only_itself(channel: grpc.Channel, cat: bytes) -> None:
    photos = {f"good-{i}": cat for i in range(20)} | {"bad": b"no photo at all"}
    requests = (
        pb.ClassifyStreamRequest(key=key, request=pb.ClassifyRequest(photo=photo)) for key, photo in photos.items()
    )
    replies = {reply.key: reply for reply in BestiaryStub(channel).ClassifyStream(requests, timeout=60)}
    assert replies.keys() == photos.keys()
    assert replies.pop("bad").failure.reason == "not_an_image"
    assert all(reply.classification.species[0].common_name == "domestic cat" for reply in replies.values())


def test_a_deadline_travels(channel: grpc.Channel, cat: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        BestiaryStub(channel).Classify(pb.ClassifyRequest(photo=cat), timeout=0.002)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_unknown_id_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        request = pb.GetClassificationRequest(id="01a2042d-1ee4-7000-8deb-7a4537eebcf5")
        BestiaryStub(channel).GetClassification(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_and_reflection_answer(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    replies = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=10)
    names = {service.name for reply in replies for service in reply.list_services_response.service}
    assert {"bestiary.v1.Bestiary", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
