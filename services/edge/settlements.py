"""Every admitted request ends here: its real cost goes to the ledger, whatever became of the
request. Handing it over never waits; the sending is this file's alone."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.quota.v1.quota_pb2 import SettleItem, SettleResult
from services.common.errors import GatewayError, InvalidField
from services.common.logs import logger

log = logger("settlements")

MOST_AT_ONCE = 128
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0

Send = Callable[[list[SettleItem]], Awaitable[Sequence[SettleResult]]]


class Settlements(Protocol):
    """Where finished requests are handed over."""

    def submit(self, item: SettleItem) -> None:
        """Take an item; it will be booked once, as soon as the ledger answers."""


class Counts(Protocol):
    """What becomes of items, for the metrics."""

    def settled(self, outcome: str) -> None: ...


class MemorySettlements:
    """Items in memory, sent in batches, repeated until the ledger has answered. Repeating is safe:
    the first outcome of a reservation stands."""

    def __init__(self, send: Send, counts: Counts) -> None:
        self._send = send
        self._counts = counts
        self._queue: deque[SettleItem] = deque()
        self._sender: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        return len(self._queue)

    def submit(self, item: SettleItem) -> None:
        self._queue.append(item)
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())

    async def drain(self, seconds: float) -> int:
        """Wait until everything is booked, at most ``seconds``; answers with how many are not."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=seconds)
        if self._queue and self._sender is not None:
            self._sender.cancel()
            log.error("settlements_lost", items=len(self._queue))
        return len(self._queue)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while self._queue:
                batch = [self._queue[i] for i in range(min(len(self._queue), MOST_AT_ONCE))]
                try:
                    await self._book(batch)
                except GatewayError as error:
                    self._counts.settled("retried")
                    log.warning("settle_failed", items=len(batch), cause=str(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
                    continue
                pause = FIRST_PAUSE
                for _ in batch:
                    self._queue.popleft()
        finally:
            self._sender = None

    async def _book(self, batch: list[SettleItem]) -> None:
        try:
            results = await self._send(batch)
        except InvalidField as error:
            if len(batch) == 1:
                self._refused(batch[0], error.reason, error.message)
                return
            for item in batch:  # one of them is wrong; the others must not wait for it
                await self._book([item])
            return
        for item, result in zip(batch, results, strict=True):
            if result.HasField("refusal"):
                self._refused(item, result.refusal.reason, result.refusal.message)
            else:
                self._counts.settled("repeated" if result.duplicate else "booked")

    def _refused(self, item: SettleItem, reason: str, message: str) -> None:
        self._counts.settled("refused")
        log.error(
            "settle_refused",
            reservation_id=item.reservation_id,
            request_id=item.request_id,
            reason=reason,
            detail=message,
        )
