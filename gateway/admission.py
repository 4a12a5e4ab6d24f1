"""Who may come in: is the service open, is the photo small enough, is there room, is there time left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contract.photo_status import PhotoStatus
from gateway.errors import InvalidRequest, NotReady, Overloaded, PhotoRejected


class Admission:
    """Counts the photos in work and refuses what does not fit. One event loop only."""

    def __init__(
        self,
        *,
        max_inflight: int,
        max_photo_bytes: int,
        max_held_bytes: int,
        default_timeout_s: float,
        max_timeout_s: float,
    ) -> None:
        self.max_photo_bytes = max_photo_bytes
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._max_inflight = max_inflight
        self._default_timeout_s = default_timeout_s
        self._max_timeout_s = max_timeout_s
        self._inflight = 0
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def inflight(self) -> int:
        """Photos in work."""
        return self._inflight

    @property
    def open(self) -> bool:
        """Whether new photos are admitted at all."""
        return self._open

    def start(self) -> None:
        """Begin to admit."""
        self._open = True

    def stop(self) -> None:
        """Admit nothing more; what is in work goes on."""
        self._open = False

    async def idle(self) -> None:
        """Return once nothing is in work."""
        await self._idle.wait()

    def check_size(self, size_bytes: int) -> None:
        """Raise PhotoRejected(TOO_MANY_BYTES) for a photo of ``size_bytes`` that is over the limit."""
        if size_bytes > self.max_photo_bytes:
            limit = self.max_photo_bytes / (1 << 20)
            raise PhotoRejected(
                PhotoStatus.TOO_MANY_BYTES,
                f"The photo has more than {limit:g} MiB, the limit here. Send a smaller file or re-encode it as JPEG.",
            )

    def timeout_s(self, asked_s: float | None) -> float:
        """The time a caller gets, seconds: what it asked for within the maximum, else the default."""
        if asked_s is None:
            return self._default_timeout_s
        if not asked_s > 0:
            raise InvalidRequest("The timeout must be a positive number.")
        return min(asked_s, self._max_timeout_s)

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes that a request keeps in memory, from its first chunk until it is answered.

        Gives a function that takes a number of bytes more. It raises Overloaded when all requests together hold
        too much, so that slow or many uploads cost bounded memory; NotReady when nothing is admitted.
        """
        if not self._open:
            raise NotReady("The service is starting or shutting down: try again shortly.", retry_after_s=1.0)
        held = 0

        def take(size_bytes: int) -> None:
            nonlocal held
            if self._held_bytes + size_bytes > self._max_held_bytes:
                raise Overloaded("Too many photos are being uploaded: try again shortly.", retry_after_s=1.0)
            held += size_bytes
            self._held_bytes += size_bytes

        try:
            yield take
        finally:
            self._held_bytes -= held

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one place while a photo is in work. Raises NotReady, Overloaded."""
        if not self._open:
            raise NotReady("The service is starting or shutting down: try again shortly.", retry_after_s=1.0)
        if self._inflight >= self._max_inflight:
            raise Overloaded("All places are taken: try again shortly, or send fewer at once.", retry_after_s=0.5)
        self._inflight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._inflight -= 1
            if self._inflight == 0:
                self._idle.set()
