"""One bound on waiting, for every reason to stop: time, the client's hang-up, the ledger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.quota.v1.quota_pb2 import Refusal


class Alarm:
    """``gone`` and ``refusal`` say why the wait ended; neither of them means that time is up."""

    def __init__(self) -> None:
        self.gone = False
        self.refusal: Refusal | None = None
        self._timeout: asyncio.Timeout | None = None
        self._seconds = 0.0

    @asynccontextmanager
    async def armed(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after ``seconds``, or as soon as the alarm rings."""
        try:
            async with asyncio.timeout(seconds) as timeout:
                self._timeout, self._seconds = timeout, seconds
                if self.gone or self.refusal is not None:
                    timeout.reschedule(0)
                    await asyncio.sleep(0)
                yield
        finally:
            self._timeout = None

    def again(self) -> None:
        """Something came: the wait begins anew."""
        if self._timeout is not None and not (self.gone or self.refusal is not None):
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)

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
