"""The events of a stream on their way, most of them in the turn in which they came."""

from collections.abc import AsyncIterator, Callable

from services.edge.alarm import Alarm
from services.edge.exchange import Exchange
from services.edge.sse import Sieve, plain
from services.edge.transport import Exchange as Reply
from services.edge.usage import Meter
from services.edge.window import Window

_AT_ONCE = 64 << 10
"""Bytes of events that are passed on without a turn of their own."""


class Flow:
    """Of one stream. With ``as_is`` an event that is ``plain`` goes on as it came."""

    def __init__(
        self,
        reply: Reply,
        exchange: Exchange,
        sieve: Sieve,
        window: Window,
        alarm: Alarm,
        meter: Meter,
        *,
        as_is: bool,
    ) -> None:
        self._reply = reply
        self._cycle = exchange.cycle
        self._sieve = sieve
        self._window = window
        self._limited = window.limited
        self._alarm = alarm
        self._meter = meter
        self._as_is = as_is

    async def run(self, body: AsyncIterator[bytes], began: Callable[[], None]) -> None:
        """To the last event; ``began`` is called at the first. Raises TimeoutError, EventTooLong,
        and what ``body`` raises."""
        reply, sieve, first = self._reply, self._sieve, True
        async for chunk in body:
            reply.shortcut = None
            ready = sieve.feed(chunk)
            if ready:
                if first:
                    began()
                    first = False
                await self._window.deliver(ready)
            if sieve.done:
                return
            self._alarm.again()
            if not first and self._cycle is not None:
                reply.shortcut = self._at_once

    def _at_once(self, chunk: bytes) -> bytes | None:
        """The way of most chunks: nobody has to wait, so nobody is woken."""
        cycle, sieve = self._cycle, self._sieve
        held = sieve.held
        size = held + len(chunk)
        if cycle is None or not cycle.flows or size > _AT_ONCE:
            return chunk
        if self._limited and not self._window.wide(size):
            return chunk
        ready = chunk if self._as_is and not held and plain(chunk) else sieve.feed(chunk)
        if ready:
            self._meter.passed(ready)
            cycle.write(ready)
        self._alarm.again()
        return b"" if sieve.done else None
