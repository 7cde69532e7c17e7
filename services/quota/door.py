"""The only door to the KV: bounded in time, closed to cancellation, one translation of failures."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from services.common.errors import Unavailable
from services.common.kv import FAILURES, Kv, kv_errors, ours
from services.common.kv_cluster import ClusterKv
from services.common.kv_line import KvLine
from services.common.script import Script

Answer = TypeVar("Answer")


_PIECE_SECONDS = 0.05


class Door:
    """Every call ends within ``timeout`` seconds, with an answer or Unavailable. What was sent runs
    to its end even if its caller is gone: a command must not be torn off half-way.

    Seconds in which this process did not get to run do not count: on a busy machine an answer may
    lie here unread, and the KV is not away."""

    def __init__(self, kv: Kv, *, timeout: float) -> None:
        self._kv = kv
        self._timeout = timeout
        self._running: set[asyncio.Task[Any]] = set()
        self.has_nodes = isinstance(kv, ClusterKv)
        """Whether the KV can be away for some organisations and there for others."""
        pool: Any = kv.connection_pool
        self._line: KvLine | None = None if self.has_nodes else pool.line

    async def ask(self, question: Callable[[Kv], Awaitable[Answer]]) -> Answer:
        """The answer of the KV to a few commands."""

        async def work() -> Answer:
            with kv_errors():
                return await question(self._kv)

        task = asyncio.create_task(work())
        self._running.add(task)
        task.add_done_callback(self._forget)
        left, clock = self._timeout, asyncio.get_running_loop().time
        while left > 0:
            began = clock()
            done, _ = await asyncio.wait((task,), timeout=min(left, _PIECE_SECONDS))
            if done:
                return task.result()
            passed = clock() - began
            left -= passed if passed < 2 * _PIECE_SECONDS else _PIECE_SECONDS
        raise Unavailable("the KV does not answer")

    async def run(self, script: Script, names: list[str], args: Sequence[str | int]) -> Any:
        """One script call. Calls that begin one after the other reach a KV of one server in that
        order, though they do not wait for each other."""
        if self._line is None:
            return await self.ask(lambda kv: script.run(kv, names, args))
        try:
            return await script.ask(self._line, names, args, self._timeout)
        except FAILURES as error:
            raise ours(error) from error

    async def ping(self) -> None:
        """Raises Unavailable while the KV does not answer."""
        await self.ask(lambda kv: kv.ping())

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()
