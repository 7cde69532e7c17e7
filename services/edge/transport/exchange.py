"""One answer: its head, then its body as it comes, with a bound on what waits to be read."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import httpx

HIGH_WATER = 65_536
"""Bytes of body waiting for the reader above which the connection stops reading."""

LOW_WATER = 16_384


class Exchange(httpx.AsyncByteStream):
    """What a connection is busy with; also the response's stream.

    ``head`` is resolved when ``status`` and ``headers`` are there, or ``error`` instead.
    ``throttle(True)`` is called when the reader is slow, ``throttle(False)`` when it has caught
    up, ``abandon()`` when nobody will read on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        throttle: Callable[[bool], None],
        abandon: Callable[[], None],
    ) -> None:
        self.head: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None
        self.touched = False
        self.done = False
        self.throttled = False
        self._throttle = throttle
        self._abandon = abandon
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self.shortcut: Callable[[bytes], bytes | None] | None = None
        """Set by a reader that waits: it is given what comes, in the connection's own turn, and
        answers what of it is left for the reader; None where nobody need be woken."""

    # Written by the connection ---------------------------------------------------------------

    def respond(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers
        self._wake()

    def feed(self, chunk: bytes) -> None:
        if self.shortcut is not None:
            left = self.shortcut(chunk)
            if left is None:
                return
            self.shortcut, chunk = None, left
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        if self._buffered > HIGH_WATER and not self.throttled:
            self.throttled = True
            self._throttle(True)
        self._wake()

    def finish(self) -> None:
        self.done = True
        self.throttled = False
        self._wake()

    def fail(self, error: Exception) -> None:
        """The first error stands; the reader sees it after the bytes that came before it."""
        if not self.done:
            self.error = error
            self.finish()

    def _wake(self) -> None:
        if not self.head.done():
            self.head.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Read by the caller ------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._chunks
        while True:
            while chunks:
                chunk = chunks.popleft()
                self._buffered -= len(chunk)
                if self.throttled and self._buffered <= LOW_WATER:
                    self.throttled = False
                    self._throttle(False)
                yield chunk
            if self.done:
                break
            self._waiter = self.head.get_loop().create_future()
            try:
                await self._waiter
            except BaseException:
                self.give_up()
                raise
            finally:
                self._waiter = None
        if self.error is not None:
            raise self.error

    def whole(self) -> bytes | None:
        """The body, if all of it has come, without a fault, and none of it was read."""
        if not self.done or self.error is not None:
            return None
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        return body

    def give_up(self) -> None:
        """Forget what has not been read. After the end the connection may be someone else's."""
        self.shortcut = None
        self._chunks.clear()
        self._buffered = 0
        if not self.done:
            self._abandon()

    async def aclose(self) -> None:
        self.give_up()
