"""The ``bestiary.v1`` service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from contract.generated.bestiary.v1 import bestiary_pb2 as pb
from contract.generated.bestiary.v1.bestiary_pb2_grpc import BestiaryServicer
from contract.priority import Priority
from gateway.classify import Outcome
from gateway.edge.grpc import messages
from gateway.edge.grpc.access import caller
from gateway.edge.grpc.calls import caller_of, priority_of, time_left_s
from gateway.edge.grpc.failures import guarded, unary
from gateway.edge.timings import SERVER_TIMING, server_timing
from gateway.errors import BestiaryError
from gateway.service import BlobReference, Service

STREAM_WINDOW = 16
"""Photos of one stream in work at once; the next is read only when one is answered (flow control)."""


class BestiaryGrpc(BestiaryServicer):
    """Translates bestiary.v1 calls for the service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @unary
    async def Classify(self, request: pb.ClassifyRequest, context: grpc.aio.ServicerContext) -> pb.ClassifyResponse:
        """One photo."""
        outcome = await self._classify(request, context, Priority.INTERACTIVE)
        context.set_trailing_metadata(((SERVER_TIMING, server_timing(outcome.timings_ms)),))
        return pb.ClassifyResponse(classification=messages.classification(outcome.record))

    async def ClassifyStream(
        self, requests: AsyncIterator[pb.ClassifyStreamRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.ClassifyStreamResponse]:
        """Many photos, a batch unless the metadata says otherwise; replies as they finish. At most STREAM_WINDOW are
        in work or waiting to be sent."""
        replies: asyncio.Queue[pb.ClassifyStreamResponse | None] = asyncio.Queue()
        window = asyncio.Semaphore(STREAM_WINDOW)

        async def answer(item: pb.ClassifyStreamRequest) -> None:
            try:
                outcome = await guarded(self._classify(item.request, context, Priority.BATCH))
                done = pb.ClassifyStreamResponse(key=item.key, classification=messages.classification(outcome.record))
            except BestiaryError as error:
                done = pb.ClassifyStreamResponse(key=item.key, failure=messages.failure(error))
            replies.put_nowait(done)

        async def read() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    async for item in requests:
                        await window.acquire()
                        group.create_task(answer(item))
            finally:
                replies.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (reply := await replies.get()) is not None:
                yield reply
                window.release()
            await reader
        finally:
            reader.cancel()

    @unary
    async def GetClassification(
        self, request: pb.GetClassificationRequest, context: grpc.aio.ServicerContext
    ) -> pb.Classification:
        """One record."""
        return messages.classification(await self._service.get(request.id, caller()))

    @unary
    async def ListClassifications(
        self, request: pb.ListClassificationsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListClassificationsResponse:
        """Stored records, newest first."""
        page = await self._service.list(messages.list_query(request), caller())
        return pb.ListClassificationsResponse(
            classifications=map(messages.classification, page.records), next_page_token=page.next_page_token
        )

    async def _classify(
        self, request: pb.ClassifyRequest, context: grpc.aio.ServicerContext, priority: Priority
    ) -> Outcome:
        """``priority`` is that of a call without one."""
        entered = self._service.clock.monotonic()
        with self._service.admission.hold() as take:
            photo: bytes | BlobReference = request.photo
            if request.WhichOneof("input") == "blob":
                photo = BlobReference(request.blob, take)
            else:
                take(len(request.photo))
            return await self._service.classify(
                photo,
                principal=caller(),
                edge="grpc",
                timeout_s=time_left_s(context),
                filename=request.filename or None,
                ack=messages.ack_of(request.ack),
                options=messages.options_of(request),
                keep_location=request.keep_location,
                caller=caller_of(context),
                priority=priority_of(context, priority),
                entered=entered,
            )
