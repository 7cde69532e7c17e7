"""A connection to a KV server on which commands do not wait for each other: they leave as they
come, and are answered in that order. redis-py opens it (address, TLS, login) and does no more on
it: what it does for a command costs more than the KV's answer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, InvalidResponse, ReadOnlyError, TimeoutError

_TICK_SECONDS = 0.02
_STALL_SECONDS = 0.1
_NOT_YET = object()
_MUST_CLOSE = (ConnectionError, ReadOnlyError)
"""Replies of a server that is not, or no more, the one to ask."""

Words = tuple[Any, ...]
"""Text, bytes and numbers."""


class KvLine:
    """``opened`` makes a connection, logged in; ``parse`` an exception of an error reply. A
    connection on which the KV says nothing for ``silence`` seconds is given up."""

    def __init__(
        self,
        opened: Callable[[], Awaitable[AbstractConnection]],
        parse: Callable[[str], Exception],
        *,
        silence: float,
    ) -> None:
        self._opened = opened
        self._parse = parse
        self._silence = silence
        self._wire: _Wire | None = None
        self._dialing: asyncio.Task[_Wire] | None = None

    @property
    def known(self) -> set[str]:
        """What callers have told the server on this connection, for them to note; nothing where
        none is open."""
        wire = self._wire
        return set() if wire is None or wire.lost else wire.known

    async def ask(self, words: Words, seconds: float) -> Any:
        """The answer to one command, whose words are sent before this waits for anything where the
        connection is open. It is never repeated, and runs to its end though nobody waits for it any
        more. Raises redis-py's exceptions: TimeoutError after ``seconds``; those in which this
        process did not get to run do not count, as the answer may lie here unread."""
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._dial(seconds)
        return await wire.send(words, seconds)

    def close(self) -> None:
        """Give up the connection, and whoever waits for it."""
        if self._dialing is not None:
            self._dialing.cancel()
        if self._wire is not None:
            self._wire.close()

    async def _dial(self, seconds: float) -> "_Wire":
        if self._dialing is None:
            self._dialing = asyncio.create_task(self._new())
            self._dialing.add_done_callback(self._dialed)
        dialing = self._dialing
        await asyncio.wait((dialing,), timeout=seconds)
        if not dialing.done():
            raise TimeoutError("the KV does not answer")
        if dialing.cancelled():
            raise ConnectionError("the connection to the KV was closed")
        return dialing.result()

    async def _new(self) -> "_Wire":
        self._wire = _Wire(await self._opened(), self._parse, self._silence)
        return self._wire

    def _dialed(self, task: asyncio.Task["_Wire"]) -> None:
        self._dialing = None
        if not task.cancelled():
            task.exception()  # may be nobody's by now


class _Wire(asyncio.Protocol):
    """One connection, taken over from redis-py, which is told of its end. ``_now`` is its own time:
    a stall of this process is a tick of it."""

    def __init__(self, connection: Any, parse: Callable[[str], Exception], silence: float) -> None:
        self.lost = False
        self.known: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._silence = silence
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._tick: asyncio.TimerHandle | None = None
        self._now = self._heard = self._looked = 0.0
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=parse,
            encoding="utf-8",
            notEnoughData=_NOT_YET,
        )
        # What redis-py no longer has it does not miss at its end.
        self._writer, connection._writer = connection._writer, None
        self._transport: asyncio.Transport = self._writer.transport
        self._opener = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def send(self, words: Words, seconds: float) -> asyncio.Future[Any]:
        packed = hiredis.pack_command(words)
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._tick is None:
            self._looked = self._loop.time()
            self._tick = self._loop.call_later(_TICK_SECONDS, self._passed)
        if not self._waiting:
            self._heard = self._now
        self._waiting.append((answer, self._now + seconds))
        self._transport.write(packed)
        return answer

    def close(self) -> None:
        self.lost = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = self._now
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _NOT_YET:
            if isinstance(reply, hiredis.PushNotification):
                continue
            answer, _ = self._waiting.popleft()
            if not isinstance(reply, Exception):
                if not answer.done():
                    answer.set_result(reply)
                continue
            if not answer.done():
                answer.set_exception(reply)
            if isinstance(reply, _MUST_CLOSE):
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._tick is not None:
            self._tick.cancel()
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionError("the connection to the KV was lost"))
        self._opener.connection_lost(exc)

    def _passed(self) -> None:
        self._tick, before = None, self._looked
        self._looked = self._loop.time()
        passed = self._looked - before
        self._now += passed if passed < _STALL_SECONDS else _TICK_SECONDS
        for answer, end in self._waiting:
            if end > self._now:
                break
            if not answer.done():
                answer.set_exception(TimeoutError("the KV does not answer"))
        if self._waiting and self._now - self._heard > self._silence:
            self.close()
        elif self._waiting:
            self._tick = self._loop.call_later(_TICK_SECONDS, self._passed)
