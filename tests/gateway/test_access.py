"""Who may do what, over REST, KServe and gRPC, with callers of every kind at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryStub
from gateway.audit import LOGGER, open_audit_log
from gateway.auth.api_keys import ApiKeyAuthenticator
from gateway.auth.bearer import BearerAuthenticator, Trust
from gateway.auth.guard import OpenAuthenticator
from gateway.auth.jwks import JwksCache
from gateway.auth.key_ring import KeyRing, make_key
from gateway.auth.principal import Quota, Scope
from gateway.edge.grpc.access import NEEDS
from gateway.edge.http.access import DOCS, HEALTH
from gateway.edge.http.app import HttpOptions
from gateway.storage.sqlite import SqliteResultStore
from tests.support.gateway import NOW, Running, TestClock, running_gateway
from tests.support.issuer import AUDIENCE, ISSUERS, TENANT, Issuer, running_issuer

PATH = "/v1/classifications"
OPTIONS = HttpOptions("1", 5.0, ("127.0.0.1",), ("https://park.example",), loopback=False, tls=True)


@dataclass
class Callers:
    """Credentials as headers, by name."""

    gateway: Running
    issuer: Issuer
    clock: TestClock
    keys: dict[str, str]
    audit_lines: Path

    def token(self, **claims: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.issuer.token(**claims)}"}

    def key(self, name: str) -> dict[str, str]:
        return {"X-API-Key": self.keys[name]}

    def audited(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.audit_lines.read_text().splitlines()]


@pytest.fixture
async def callers(tmp_path: Path) -> AsyncIterator[Callers]:
    clock, made = TestClock(), {}
    for name, scopes in (("camera", {Scope.CLASSIFY}), ("reader", {Scope.READ}), ("boss", {Scope.ADMIN})):
        made[name] = make_key(
            name, tenant="park", scopes=frozenset(scopes), now=NOW, expires_at=None,
            quota=Quota(photos_per_minute=2 if name == "camera" else None), pepper=b"p",
        )  # fmt: skip
    ring = KeyRing(keys=tuple(key for key, _ in made.values()))
    handler = open_audit_log(tmp_path / "audit.jsonl")
    with running_issuer() as issuer:
        bearer = BearerAuthenticator(Trust({TENANT}, (AUDIENCE,), ISSUERS), JwksCache(issuer.url, clock), clock)
        keys = ApiKeyAuthenticator(lambda: ring, b"p", clock)
        async with running_gateway(tmp_path, bearer, keys, clock=clock, options=OPTIONS) as gateway:
            texts = {name: text for name, (_, text) in made.items()}
            yield Callers(gateway, issuer, clock, texts, tmp_path / "audit.jsonl")
    LOGGER.removeHandler(handler)
    handler.close()


async def test_nothing_but_health_answers_without_credentials(callers: Callers) -> None:
    async with callers.gateway.http() as http:
        for path in HEALTH:
            assert (await http.get(path)).status_code == 200, path
        paths = list(callers.gateway.app.openapi()["paths"])
        assert len(paths) > 10
        for path in [*paths, *DOCS, "/nowhere", "/livez/", "//livez", "/static-offline-docs/swagger-ui.css"]:
            if path in HEALTH:
                continue
            for method in ("GET", "POST", "DELETE"):
                answer = await http.request(method, path.replace("{", "").replace("}", ""))
                assert answer.status_code == 401, (method, path)
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["www-authenticate"] == 'Bearer realm="bestiary", ApiKey realm="bestiary"'


async def test_a_token_that_does_not_hold_is_named_in_the_challenge(callers: Callers) -> None:
    async with callers.gateway.http() as http:
        answer = await http.get(PATH, headers=callers.token(exp=1))
    assert answer.status_code == 401
    assert 'Bearer realm="bestiary", error="invalid_token"' in answer.headers["www-authenticate"]
    assert "expired" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Basic YTpi")],
        [("X-API-Key", "bestiary_000000000000_" + "A" * 43)],
        [("X-API-Key", "a"), ("X-API-Key", "b")],
        [("Authorization", "Bearer x"), ("X-API-Key", "a")],
        [("Authorization", "Bearer x"), ("Authorization", "Bearer y")],
    ],
)
async def test_other_credentials_are_refused(callers: Callers, headers: list[tuple[str, str]]) -> None:
    async with callers.gateway.http() as http:
        answer = await http.get(PATH, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]


async def test_a_photo_without_credentials_is_refused_before_it_is_read(callers: Callers) -> None:
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    app = callers.gateway.app
    said: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        pytest.fail("the body was read")

    async def send(message: dict[str, object]) -> None:
        said.append(message)

    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "scheme": "https", "server": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert said[0]["status"] == 401


async def test_scopes_are_kept_over_rest(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        made = await http.post(PATH, content=cat, headers=callers.key("camera"))
        assert made.status_code == 201, made.text
        assert made.json()["owner"] == "park/camera"
        reading = await http.get(PATH, headers=callers.key("camera"))
        sending = await http.post(PATH, content=cat, headers=callers.token(scp="read"))
    assert (reading.status_code, reading.json()["code"]) == (403, "forbidden")
    assert (sending.status_code, sending.json()["code"]) == (403, "forbidden")
    assert 'scope="classify"' in sending.headers["www-authenticate"]


async def test_nobody_makes_another_owners_photo_his_own_by_its_name(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        made = await http.post(PATH, content=cat, headers=callers.token(oid="anna"))
        reference = {"blob": made.json()["photo"]["blob"]}
        theirs = await http.post(PATH, json=reference, headers=callers.token(oid="bert"))
        unknown = await http.post(PATH, json={"blob": "uploads/00/00.jpg"}, headers=callers.token(oid="bert"))
        boss = await http.post(PATH, json=reference, headers=callers.key("boss"))
    assert (theirs.status_code, theirs.json()["code"]) == (403, "forbidden")
    assert unknown.text == theirs.text, "it does not say whether a photo exists"
    assert boss.status_code == 201


async def test_another_owners_record_is_as_if_it_never_was(callers: Callers, cat: bytes) -> None:
    anna, bert = callers.token(oid="anna"), callers.token(oid="bert")
    async with callers.gateway.http() as http:
        made = await http.post(PATH, content=cat, headers=anna)
        location, record = made.headers["location"], made.json()
        assert record["owner"] == f"{TENANT}/anna"
        assert (await http.get(location, headers=anna)).json() == record
        assert (await http.get(f"{location}/photo", headers=anna)).content == cat
        never = f"{PATH}/00000000-0000-7000-8000-000000000000"
        for suffix in ("", "/photo"):
            theirs = await http.get(location + suffix, headers=bert)
            missing = await http.get(never + suffix, headers=bert)
            assert theirs.status_code == missing.status_code == 404
            assert theirs.text == missing.text.replace(never.rsplit("/", maxsplit=1)[-1], record["id"])
            assert theirs.headers.keys() == missing.headers.keys()


async def test_the_same_name_in_another_tenant_is_another_owner(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        made = await http.post(PATH, content=cat, headers=callers.token(oid="reader"))
        answer = await http.get(made.headers["location"], headers=callers.key("reader"))
    assert answer.status_code == 404


async def test_an_admin_reads_everybodys_records_and_it_is_written_down(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        made = await http.post(PATH, content=cat, headers=callers.token())
        location = made.headers["location"]
        assert (await http.get(location, headers=callers.token())).status_code == 200
        assert callers.audited() == []
        assert (await http.get(location, headers=callers.key("boss"))).status_code == 200
        assert (await http.get(PATH, headers=callers.key("boss"))).json()["classifications"]
    first, second = callers.audited()
    assert (first["who"], first["action"], first["outcome"]) == ("park/boss", "record.read", "ok")
    assert made.json()["id"] in first["target"]
    assert second["action"] == "records.list"


async def test_a_list_asks_the_store_for_the_callers_own(
    callers: Callers, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = []
    real = SqliteResultStore.list

    async def spy(self: SqliteResultStore, query):  # type: ignore[no-untyped-def]
        owners.append(query.owner)
        return await real(self, query)

    monkeypatch.setattr(SqliteResultStore, "list", spy)
    async with callers.gateway.http() as http:
        for headers in (callers.token(), callers.key("reader"), callers.key("boss")):
            assert (await http.get(PATH, headers=headers)).status_code == 200
    assert owners == [f"{TENANT}/anna", "park/reader", ""]


async def test_a_list_shows_only_the_callers_own(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        for name in ("anna", "bert"):
            made = await http.post(PATH, content=cat, headers=callers.token(oid=name))
            assert made.status_code == 201
        page = (await http.get(PATH, headers=callers.token(oid="anna"))).json()["classifications"]
    assert [record["owner"] for record in page] == [f"{TENANT}/anna"]


async def test_kserve_over_http_is_no_way_around(callers: Callers, cat: bytes) -> None:
    call = {"inputs": [{"name": "PHOTO", "datatype": "BYTES", "shape": [1], "data": ["eA=="]}]}
    async with callers.gateway.http() as http:
        for path in ("/v2/models/animals/infer", "/v2/models/animals/versions/1/infer"):
            assert (await http.post(path, json=call)).status_code == 401
            assert (await http.post(path, json=call, headers=callers.key("reader"))).status_code == 403
            assert (await http.post(path, json=call, headers=callers.key("camera"))).status_code in (415, 422)
        assert (await http.get("/v2/models/animals", headers=callers.key("reader"))).status_code == 200


async def test_the_share_is_kept_and_says_when_to_come_back(callers: Callers, cat: bytes) -> None:
    async with callers.gateway.http() as http:
        for _ in range(2):
            assert (await http.post(PATH, content=cat, headers=callers.key("camera"))).status_code == 201
        answer = await http.post(PATH, content=cat, headers=callers.key("camera"))
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
        assert answer.json()["retryable"]
        assert answer.headers["retry-after"] == "30"
        assert (await http.post(PATH, content=cat, headers=callers.token())).status_code == 201
        callers.clock.pass_s(30)
        assert (await http.post(PATH, content=cat, headers=callers.key("camera"))).status_code == 201


async def test_metrics_need_read_unless_they_are_open(callers: Callers, tmp_path: Path) -> None:
    async with callers.gateway.http() as http:
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/metrics", headers=callers.key("camera"))).status_code == 403
        assert (await http.get("/metrics", headers=callers.key("reader"))).status_code == 200
    options = HttpOptions("1", 5.0, ("127.0.0.1",), loopback=False, metrics_open=True)
    async with running_gateway(tmp_path / "open", options=options) as gateway, gateway.http() as http:
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get(PATH)).status_code == 401


def pairs(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]


async def failed(call) -> grpc.aio.AioRpcError:  # type: ignore[no-untyped-def]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_grpc_keeps_scopes_and_owners(callers: Callers, cat: bytes) -> None:
    async with (
        callers.gateway.serve_grpc() as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = BestiaryStub(channel)
        request = pb.ClassifyRequest(photo=cat)
        assert (await failed(stub.Classify(request))).code() is grpc.StatusCode.UNAUTHENTICATED
        wrong = await failed(stub.Classify(request, metadata=pairs(callers.token(aud="x"))))
        assert wrong.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "not for this service" in (wrong.details() or "")
        reader = await failed(stub.Classify(request, metadata=pairs(callers.key("reader"))))
        assert reader.code() is grpc.StatusCode.PERMISSION_DENIED
        made = await stub.Classify(request, metadata=pairs(callers.token()))
        wanted = pb.GetClassificationRequest(id=made.classification.id)
        assert (await stub.GetClassification(wanted, metadata=pairs(callers.token()))).id == wanted.id
        theirs = await failed(stub.GetClassification(wanted, metadata=pairs(callers.token(oid="bert"))))
        never_id = "00000000-0000-7000-8000-000000000000"
        never = await failed(
            stub.GetClassification(pb.GetClassificationRequest(id=never_id), metadata=pairs(callers.token(oid="bert")))
        )
        assert theirs.code() is never.code() is grpc.StatusCode.NOT_FOUND
        assert (theirs.details() or "") == (never.details() or "").replace(never_id, wanted.id)
        admin = await stub.GetClassification(wanted, metadata=pairs(callers.key("boss")))
        assert admin.id == wanted.id
        assert [line["action"] for line in callers.audited()] == ["record.read"]
        listed = await stub.ListClassifications(pb.ListClassificationsRequest(), metadata=pairs(callers.key("boss")))
        assert [one.id for one in listed.classifications] == [wanted.id]


async def test_a_grpc_stream_belongs_to_its_caller(callers: Callers, cat: bytes) -> None:
    async def photos() -> AsyncIterator[pb.ClassifyStreamRequest]:
        for key in ("1", "2", "3"):
            yield pb.ClassifyStreamRequest(key=key, request=pb.ClassifyRequest(photo=cat))

    async with (
        callers.gateway.serve_grpc() as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = BestiaryStub(channel)
        # Nothing is written: grpc.aio reports a write to a call that has ended as INTERNAL.
        assert await stub.ClassifyStream().code() is grpc.StatusCode.UNAUTHENTICATED
        replies = [reply async for reply in stub.ClassifyStream(photos(), metadata=pairs(callers.key("camera")))]
    outcomes = sorted(reply.WhichOneof("outcome") or "" for reply in replies)
    assert outcomes == ["classification", "classification", "failure"], "the key has two photos a minute"
    (failure,) = (reply.failure for reply in replies if reply.HasField("failure"))
    assert (failure.reason, failure.retryable) == ("quota_exceeded", True)
    assert failure.retry_after_s == pytest.approx(30)
    record = next(reply.classification for reply in replies if reply.HasField("classification"))
    assert (await callers.gateway.service.get(record.id, await known(callers, "camera"))).owner == "park/camera"


async def known(callers: Callers, name: str):  # type: ignore[no-untyped-def]
    from gateway.auth.principal import Credentials

    return await callers.gateway.guard.authenticate(Credentials(api_key=callers.keys[name]))


async def test_every_grpc_method_but_health_is_closed(callers: Callers) -> None:
    async with (
        callers.gateway.serve_grpc() as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        kserve = GRPCInferenceServiceStub(channel)
        assert (await kserve.ServerLive(service_pb2.ServerLiveRequest())).live
        assert (await kserve.ServerReady(service_pb2.ServerReadyRequest())).ready
        health = health_pb2_grpc.HealthStub(channel)
        assert MessageToDict(await health.Check(health_pb2.HealthCheckRequest())) == {"status": "SERVING"}
        methods = [
            f"/{service.full_name}/{method.name}"
            for service in (pb.DESCRIPTOR.services_by_name["Bestiary"],
                            service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"])
            for method in service.methods
            if method.name not in ("ServerLive", "ServerReady")
        ]  # fmt: skip
        assert len(methods) > 15
        for method in methods:
            error = await failed(channel.unary_unary(method)(b""))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, method
        for method in methods:
            if method not in NEEDS:
                error = await failed(channel.unary_unary(method)(b"", metadata=pairs(callers.key("reader"))))
                assert error.code() is grpc.StatusCode.PERMISSION_DENIED, method
        unknown = await failed(channel.unary_unary("/x.Y/Z")(b""))
        assert unknown.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_kserve_over_grpc_is_a_classification_of_its_caller(callers: Callers, cat: bytes) -> None:
    request = service_pb2.ModelInferRequest(model_name="animals")
    request.inputs.add(name="PHOTO", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(cat)
    async with (
        callers.gateway.serve_grpc() as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        assert (await failed(stub.ModelInfer(request))).code() is grpc.StatusCode.UNAUTHENTICATED
        reply = await stub.ModelInfer(request, metadata=pairs(callers.token()))
        record_id = reply.parameters["record_ids"].string_param
        streamed = stub.ModelStreamInfer(iter([request]), metadata=pairs(callers.token()))
        async for one in streamed:
            assert not one.error_message
    async with callers.gateway.http() as http:
        answer = await http.get(f"{PATH}/{record_id}", headers=callers.token())
    assert answer.json()["owner"] == f"{TENANT}/anna"


async def test_open_loopback_owns_its_records_as_local(tmp_path: Path, cat: bytes) -> None:
    async with running_gateway(tmp_path, OpenAuthenticator()) as gateway:
        async with gateway.http() as http:
            made = await http.post(PATH, content=cat)
            assert made.json()["owner"] == "local"
            assert (await http.get(made.headers["location"])).status_code == 200
            assert (await http.get("/docs")).status_code == 200
            assert (await http.get("/metrics")).status_code == 200
            assert "securitySchemes" not in (await http.get("/openapi.json")).text
        async with (
            gateway.serve_grpc() as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            wanted = pb.GetClassificationRequest(id=made.json()["id"])
            assert (await BestiaryStub(channel).GetClassification(wanted)).id == wanted.id
