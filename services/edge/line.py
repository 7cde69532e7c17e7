"""An RPC over a stream that stays open: a message costs half of what a call does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc

from services.common.errors import Unanswered, from_rpc
from services.edge.alarm import Alarm

LIFE_SECONDS = 20.0
"""A stream's replica may be one of several, and its connection is closed one day: a server leaves
a stream half a minute."""

_LONGEST_SECONDS = 60.0

IDLE_SECONDS = 0.5
"""A server that stops waits for its streams to end."""

_WITHOUT_SECONDS = 60.0

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Line(Generic[Asked, Answer]):
    """What ``call``, an RPC of one request, does; over a stream that ``opened`` gives where one is
    open and free. Only for what may be repeated: a request that was not answered when its stream
    ended goes again as a call. ``as_call`` makes a stream's request one of the RPC's."""

    def __init__(
        self,
        opened: Callable[..., Any],
        call: Callable[..., Awaitable[Answer]],
        as_call: Callable[[Asked], object],
    ) -> None:
        self._open = opened
        self._call = call
        self._as_call = as_call
        self._stream: Any = None
        self._busy = False
        self._born = self._used = self._not_before = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: Alarm | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def __call__(
        self,
        request: Asked,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as of any RPC
        metadata: tuple[tuple[str, str], ...] | None = None,
        wait_for_ready: bool | None = None,
    ) -> Answer:
        """The answer. Raises grpc.aio.AioRpcError."""
        loop = self._loop
        if loop is None or self._alarm is None:
            loop, self._alarm = asyncio.get_running_loop(), Alarm()
            self._loop = loop
        now, seconds = loop.time(), timeout or LIFE_SECONDS
        ends = now + seconds
        if not (wait_for_ready or self._busy or now < self._not_before):
            self._busy = True
            try:
                with self._alarm.armed(seconds):
                    answer = await self._exchange(request, metadata, loop, now)
            except TimeoutError:
                raise _late() from None
            finally:
                self._busy = False
            if answer is not None:
                return answer
        return await self._call(
            self._as_call(request),
            timeout=max(ends - loop.time(), 0.001),
            metadata=metadata,
            wait_for_ready=wait_for_ready,
        )

    async def _exchange(
        self, request: Asked, metadata: object, loop: asyncio.AbstractEventLoop, now: float
    ) -> Answer | None:
        """The answer; None where the stream ended without one."""
        if self._stream is not None and now - self._born > LIFE_SECONDS:
            self._end()
        stream = self._stream
        if stream is None:
            stream = self._open(timeout=_LONGEST_SECONDS, metadata=metadata)
            self._born = now
        self._stream, answer = None, None
        try:
            await stream.write(request)
            answer = await stream.read()
        except asyncio.InvalidStateError:  # the server has ended it
            return None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # quota is older than this edge
                self._not_before = now + _WITHOUT_SECONDS
            elif not isinstance(from_rpc(error), Unanswered):
                raise
            return None
        finally:
            if answer is None:
                stream.cancel()
        if answer is grpc.aio.EOF:
            return None
        self._stream, self._used = stream, now
        if answer.last:
            self._end()
        elif self._look is None:
            self._look = loop.call_later(IDLE_SECONDS, self._end_idle)
        found: Answer = answer
        return found

    def _end_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self._look = None
        if self._stream is None:
            return
        if loop.time() - self._used < IDLE_SECONDS:
            self._look = loop.call_later(IDLE_SECONDS, self._end_idle)
        else:
            self._end()

    def _end(self) -> None:
        """Tell the server that nothing more comes."""
        stream, self._stream = self._stream, None
        if stream is not None:
            task = asyncio.ensure_future(stream.done_writing())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _late() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.aio.AioRpcError(late, nothing, nothing, "Deadline Exceeded")
