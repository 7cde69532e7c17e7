"""Streams without a cap of their own: nothing is delivered that the hold does not pay for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from gateway.quota.v1.quota_pb2 import Refusal
from services.common.errors import GatewayError
from services.edge.alarm import Alarm
from services.edge.running import Run, Running
from services.edge.sse import split
from services.edge.usage import BYTES_PER_TOKEN

CHECK_BYTES = 8 << 10
"""So many bytes may pass without a look at how full the window is."""

TRIES = 10
PAUSE = 0.5


class Window:
    """Delivers the events of one stream. The next window is asked for when this one is half used,
    and waited for when it is full; when there is none, the alarm rings."""

    def __init__(
        self,
        run: Run,
        running: Running,
        alarm: Alarm,
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._run = run
        self._running = running
        self._alarm = alarm
        self._write = write
        self.limited = run.hold.bound.window
        self._extension: asyncio.Task[None] | None = None

    async def deliver(self, ready: bytes) -> None:
        """Pass whole events on."""
        meter = self._run.meter
        if self._fits(len(ready)):
            meter.passed(ready)
            await self._write(ready)
            return
        for event in split(ready):
            await self._paid()
            meter.passed(event)
            await self._write(event)

    def wide(self, size: int) -> bool:
        """Whether so many bytes fit without a look at what was delivered before them."""
        if not self.limited:
            return True
        meter = self._run.meter
        waiting = size + meter.uncounted
        room = (self._run.granted - meter.counted) * BYTES_PER_TOKEN
        return waiting < CHECK_BYTES and waiting < room

    def _fits(self, size: int) -> bool:
        """Whether so many bytes fit, whatever is in them."""
        if self.wide(size):
            return True
        meter, granted = self._run.meter, self._run.granted
        meter.count()
        refused = self._run.refusal is not None  # then it is asked again at the next checkpoint
        if not refused and self._extension is None and self._run.want():
            self._extension = asyncio.create_task(self._extend())
        return size < (granted - meter.counted) * BYTES_PER_TOKEN

    async def _paid(self) -> None:
        """Return when there is room for an event."""
        tries = 0
        while self._run.used_up:
            if tries == TRIES:
                self._alarm.stop(Refusal(reason="STORE_UNAVAILABLE"))
            if tries:
                await asyncio.sleep(PAUSE)
            await (self._extension or self._extend())
            tries += 1

    async def _extend(self) -> None:
        """What the ledger says reaches the run, or the alarm."""
        try:
            with contextlib.suppress(GatewayError):
                await self._running.extend(self._run)
        finally:
            self._extension = None
