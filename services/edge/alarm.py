"""One bound on waiting, for every reason to stop: time, the client's hang-up, the ledger."""

import asyncio
from types import TracebackType
from typing import Self

from gateway.quota.v1.quota_pb2 import Refusal


class Alarm:
    """``async with alarm.armed(seconds)`` raises TimeoutError when nothing came for that long, or
    as soon as the alarm rings. ``gone`` and ``refusal`` say why; neither of them means that time
    is up."""

    def __init__(self) -> None:
        self.gone = False
        self.refusal: Refusal | None = None
        self._timeout: asyncio.Timeout | None = None
        self._seconds = 0.0

    def armed(self, seconds: float) -> Self:
        self._seconds = seconds
        return self

    async def __aenter__(self) -> Self:
        if self.gone or self.refusal is not None:
            raise TimeoutError
        self._loop = asyncio.get_running_loop()
        self._timeout = await asyncio.timeout(None).__aenter__()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._check)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        timeout, self._timeout = self._timeout, None
        self._timer.cancel()
        if timeout is not None:
            await timeout.__aexit__(kind, error, trace)

    def again(self) -> None:
        """Something came: the wait begins anew. Called for every chunk, so it moves no timer."""
        self._due = self._loop.time() + self._seconds

    def _check(self) -> None:
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._check)
        else:
            self._ring()

    def hang_up(self) -> None:
        """The client has left."""
        self.gone = True
        self._ring()

    def stop(self, refusal: Refusal) -> None:
        """The ledger pays no more."""
        if self.refusal is None:
            self.refusal = refusal
            self._ring()

    def _ring(self) -> None:
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0)
