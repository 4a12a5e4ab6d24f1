"""Photos to Triton by HTTP, against a server that does what the test says with each connection."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from contract.options import Options, Task
from contract.priority import Priority
from gateway.errors import BestiaryError, DeadlineExceeded, ModelFailed, ModelUnavailable, Overloaded
from gateway.triton.http import TritonHttp

TENSORS = {"STATUS": struct.pack("<i", 0), "SPECIES_NAMES": b"\x03\x00\x00\x00cat"}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reply(tensors: dict[str, bytes] = TENSORS, more: str = "") -> bytes:
    outputs = [{"name": name, "parameters": {"binary_data_size": len(data)}} for name, data in tensors.items()]
    head = json.dumps({"model_name": "animals", "outputs": outputs}).encode()
    body = head + b"".join(tensors.values())
    return (
        f"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: {len(head)}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def failure(status: int, error: str) -> bytes:
    body = json.dumps({"error": error}).encode()
    return f"HTTP/1.1 {status} Oh\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, object], bytes]:
    """The JSON part and the photo. Raises IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = {
        name: int(line.split(": ")[1])
        for line in head.split("\r\n")
        for name in [line.split(":")[0]]
        if "length" in name
    }
    body = await reader.readexactly(size["content-length"])
    at = size["inference-header-content-length"]
    assert struct.unpack_from("<I", body, at)[0] == len(body) - at - 4
    return json.loads(body[:at]), body[at + 4 :]


@asynccontextmanager
async def served(handle: Handler) -> AsyncIterator[TritonHttp]:
    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    client = TritonHttp(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def ask(client: TritonHttp, photo: bytes = b"photo", timeout_s: float = 20.0) -> dict[str, bytes]:
    deadline = time.monotonic() + timeout_s
    options = Options(tasks=Task.SPECIES, sure_from=0.5)
    return dict(await client.infer("animals.ab", photo, deadline=deadline, options=options, priority=Priority.BATCH))


async def test_a_connection_is_used_again_and_says_what_is_asked() -> None:
    asked, connections = [], 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            asked.append(await read_request(reader))
            writer.write(reply())

    async with served(handle) as client:
        assert [await ask(client, bytes([number]) * 70_000) for number in range(3)] == [TENSORS] * 3
    assert connections == 1
    request, photo = asked[-1]
    assert photo == b"\x02" * 70_000
    parameters = request["parameters"]
    assert isinstance(parameters, dict)
    assert parameters["priority"] == Priority.BATCH.level
    assert parameters["tasks"] == "species"
    assert parameters["sure_from"] == "0.5"
    assert 0 < parameters["timeout"] <= 20_000_000


async def test_a_reply_may_come_in_pieces() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for byte in reply():
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with served(handle) as client:
        assert await ask(client) == TENSORS
        assert await ask(client) == TENSORS


async def test_a_connection_that_was_closed_while_idle_costs_nobody_an_answer() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply())

    async with served(handle) as client:
        for _ in range(5):
            assert await ask(client) == TENSORS


async def test_one_that_is_closed_as_the_next_photo_comes_neither() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply())
        await read_request(reader)  # and hangs up

    async with served(handle) as client:
        for _ in range(5):
            assert await ask(client) == TENSORS


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ModelUnavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", ModelUnavailable),
        (b"SMTP\r\n\r\n", ModelUnavailable),
        (reply()[:-1] + b"\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ModelFailed),
        (b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]", ModelFailed),
        (b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: x\r\nContent-Length: 2\r\n\r\n[]", ModelUnavailable),
        (failure(503, "Exceeds maximum queue size"), Overloaded),
        (failure(503, "Request timeout expired"), DeadlineExceeded),
        (failure(503, "Server is stopping"), ModelUnavailable),
        (failure(404, "Request for unknown model: 'animals.ab' is not found"), ModelUnavailable),
        (failure(500, "Stub process 'animals' is not healthy."), ModelUnavailable),
        (failure(400, "unexpected shape for input"), ModelFailed),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nnone", ModelFailed),
    ],
)
async def test_failures_have_a_type(answer: bytes, error: type[BestiaryError] | None) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    async with served(handle) as client:
        if error is None:
            assert (await ask(client)).keys() == TENSORS.keys()
        else:
            with pytest.raises(error):
                await ask(client)


async def test_nobody_there() -> None:
    with pytest.raises(ModelUnavailable):
        await ask(TritonHttp("127.0.0.1:1"))


async def test_who_gives_up_leaves_no_answer_for_the_next() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, photo = await read_request(reader)
            if photo == b"slow":
                await asyncio.sleep(0.3)
            writer.write(reply({"STATUS": photo}))

    async with served(handle) as client:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                await ask(client, b"slow", timeout_s=0.05)
            assert await ask(client, b"quick") == {"STATUS": b"quick"}
        with pytest.raises(DeadlineExceeded):
            await ask(client, timeout_s=-1)


async def test_photos_side_by_side_get_their_own_answers() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, photo = await read_request(reader)
            await asyncio.sleep(int(photo) % 7 / 1000)
            writer.write(reply({"STATUS": photo}))

    async with served(handle) as client:
        answers = await asyncio.gather(*(ask(client, b"%d" % number) for number in range(60)))
    assert answers == [{"STATUS": b"%d" % number} for number in range(60)]


async def test_a_server_that_will_not_keep_the_connection_is_asked_on_a_new_one() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply(more="Connection: close\r\n"))

    async with served(handle) as client:
        assert [await ask(client) for _ in range(3)] == [TENSORS] * 3


def test_on_the_event_loop_that_the_gateway_runs_on() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(reply())

    async def scene() -> None:
        async with served(handle) as client:
            assert [await ask(client, 100_000 * b"x") for _ in range(3)] == [TENSORS] * 3

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
