"""The sending half of a connection."""

import asyncio
from collections.abc import Awaitable, Callable


class Outbound(asyncio.Protocol):
    """Writes, and knows when the other side does not keep up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gone = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._progress = 0.0
        self._clogged = False
        self._unsent = 0
        self._pump: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    @property
    def pumping(self) -> bool:
        """Whether a body is still being sent."""
        return self._pump is not None and not self._pump.done()

    def write(self, *parts: bytes) -> None:
        if self._transport is not None and not self.gone:
            self._transport.writelines(parts)
            if self._clogged:
                self._unsent = self._transport.get_write_buffer_size()

    def pump(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send a body that is still to be read, while the answer may already come."""

        async def run() -> None:
            try:
                await send()
            except Exception as error:
                self._fail(error)

        self._pump = self._loop.create_task(run())

    async def drain(self) -> None:
        """Wait until there is room to write."""
        if self._clogged:
            self._drained = self._loop.create_future()
            await self._drained

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        self._progress = self._loop.time()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _fail(self, error: Exception) -> None:
        raise NotImplementedError
