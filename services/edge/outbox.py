"""Settlements that survive this process: on disk before long, booked once, kept for a while.

Every item is appended to a journal when it is handed over, and sent to the ledger in batches until
the ledger has answered. What was booked stays on disk for ten minutes more, because a KV that fails
over may forget its last moments: when the ledger tells another epoch, or this process starts again,
the items of that time are sent once more. Repeating is safe: the first outcome stands.

There is no record of requests that only run. Their holds are in the ledger with their last
checkpoint, and the process that knew more is the one that died.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gateway.quota.v1.quota_pb2 import SettleItem
from services.common.errors import GatewayError, Internal, InvalidField
from services.common.logs import logger
from services.edge import journal, outbox_log
from services.edge.journal import Clock, Journal
from services.edge.outbox_log import KEPT_MS, Kept, restore
from services.edge.settlements import FIRST_PAUSE, LONGEST_PAUSE, MOST_AT_ONCE, Counts, Send

log = logger("outbox")

_TRIES = 5
_SOON_MS = 60_000
"""What is booked within this time needs no note of how old it is."""


class _Waiting(NamedTuple):
    number: int
    time_ms: int
    item: SettleItem


class Outbox:
    """The ``Settlements`` of one edge, with its journal in ``directory``; None keeps them in memory
    only, where nothing can be written."""

    def __init__(
        self, directory: Path | None, send: Send, counts: Counts, *, clock: Clock = journal.now_ms
    ) -> None:
        self._directory = directory
        self._send = send
        self._counts = counts
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._replay: asyncio.Task[None] | None = None
        self._epoch = ""
        now = self._clock()
        kept = restore(directory, now) if directory else Kept([], [], 0, now)
        self._late = deque([(now, kept.oldest_ms)])
        """When items were booked that had waited, and when the oldest of them was handed over."""
        self._number = kept.highest
        self._journal = Journal(directory, clock=clock) if directory else None
        self._again = kept.booked
        self.known = {item.reservation_id for item in (*kept.waiting, *kept.booked)}
        """Reservations that the disk knew when this process began, or took it over."""
        for item in kept.waiting:
            self._take(item)

    @property
    def pending(self) -> int:
        return len(self._queue)

    @property
    def durable(self) -> bool:
        """Whether what is handed over reaches the disk."""
        return self._journal is not None and not self._journal.failing

    def start(self) -> None:
        """Begin to send what the process before this one left."""
        if self._queue:
            log.info("outbox_resumed", items=len(self._queue))
            self._wake()
        again, self._again = self._again, []
        if again:
            self._replay = asyncio.create_task(self._repeat(again))

    def submit(self, item: SettleItem) -> None:
        """Take an item; it will be booked once, as soon as the ledger answers."""
        self._take(item)
        self._wake()

    def adopt(self, directory: Path) -> int:
        """Take over what a process that is gone left in ``directory``; answers how many items."""
        kept = restore(directory, self._clock())
        for item in (*kept.booked, *kept.waiting):
            self.known.add(item.reservation_id)
            self.submit(item)
        return len(kept.booked) + len(kept.waiting)

    async def flushed(self) -> None:
        """Wait until all that was handed over is on the disk."""
        if self._journal is not None:
            await self._journal.flushed()

    def heard(self, epoch: str) -> None:
        """The ledger told which KV it stands on. Another one than before may have forgotten what
        it had confirmed."""
        before, self._epoch = self._epoch, epoch or self._epoch
        if not before or self._epoch == before or self._directory is None:
            return
        log.warning("outbox_replay", cause="the KV is another one, or was restarted")
        if self._replay is not None:
            self._replay.cancel()
        self._replay = asyncio.create_task(self._repeat_recent(self._directory))

    def tidy(self) -> None:
        """Delete from the disk what is old and booked."""
        if self._journal is None or self._journal.failing:
            return
        since = self._clock() - KEPT_MS
        while self._late and self._late[0][0] < since:
            self._late.popleft()
        waiting = self._queue[0].time_ms if self._queue else since
        late = min((handed_over for _, handed_over in list(self._late)), default=since)
        self._journal.forget(min(since - _SOON_MS, waiting, late))

    async def drain(self, seconds: float) -> int:
        """Wait until everything is booked, at most ``seconds``; answers with how many are not.
        They are on the disk, for the next process."""
        tasks = [task for task in (self._sender, self._replay) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        kept = self._journal is not None and await asyncio.to_thread(self._journal.close)
        if self._queue:
            tell = log.warning if kept else log.error
            tell("settlements_kept" if kept else "settlements_lost", items=len(self._queue))
        return len(self._queue)

    def _take(self, item: SettleItem) -> None:
        self._number += 1
        self._queue.append(_Waiting(self._number, self._clock(), item))
        if self._journal is not None:
            self._journal.append(outbox_log.handed_over(self._number, item))

    def _wake(self) -> None:
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                batch = list(islice(self._queue, MOST_AT_ONCE))
                await self._deliver([waiting.item for waiting in batch])
                for _ in batch:
                    self._queue.popleft()
                now, oldest = self._clock(), batch[0].time_ms
                if now - oldest > _SOON_MS:
                    self._late.append((now, oldest))
                if self._journal is not None:
                    self._journal.append(outbox_log.booked(batch[-1].number))
        finally:
            self._sender = None

    async def _repeat_recent(self, directory: Path) -> None:
        await self.flushed()
        kept = await asyncio.to_thread(restore, directory, self._clock())
        await self._repeat(kept.booked)

    async def _repeat(self, items: Sequence[SettleItem]) -> None:
        for batch in _batches(items):
            await self._deliver(batch)
        log.info("outbox_replayed", items=len(items))

    async def _deliver(self, batch: list[SettleItem]) -> None:
        """Until the ledger has answered."""
        pause, tries = FIRST_PAUSE, 0
        while True:
            try:
                await self._book(batch)
                return
            except GatewayError as error:
                self._counts.settled("retried")
                if tries == 0:
                    log.warning("settle_failed", items=len(batch), cause=str(error))
                tries += 1
                lasting = isinstance(error, Internal) and tries >= _TRIES
                if lasting or isinstance(error, InvalidField):
                    await self._part(batch, error)
                    return
                if tries >= _TRIES and await self._booked_some(batch):
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _booked_some(self, batch: list[SettleItem]) -> bool:
        """The KV may be away for some organisations only: theirs go to the end of the queue, so
        that the others need not wait. False where nothing could be booked."""
        orgs: dict[str, list[SettleItem]] = {}
        for item in batch:
            orgs.setdefault(item.owner.org_id, []).append(item)
        put_back: list[SettleItem] = []
        for items in orgs.values():
            try:
                await self._book(items)
            except GatewayError:
                put_back += items
        if len(put_back) == len(batch):
            return False
        for item in put_back:
            self.submit(item)
        return True

    async def _part(self, batch: list[SettleItem], error: GatewayError) -> None:
        """The ledger stumbles over one of them: the others must not wait for it."""
        if len(batch) == 1:
            self._refused(batch[0], error.reason, error.message)
            return
        for item in batch:
            await self._deliver([item])

    async def _book(self, batch: list[SettleItem]) -> None:
        results = await self._send(batch)
        for item, result in zip(batch, results, strict=True):
            if result.HasField("refusal"):
                self._refused(item, result.refusal.reason, result.refusal.message)
            else:
                self._counts.settled("repeated" if result.duplicate else "booked")

    def _refused(self, item: SettleItem, reason: str, message: str) -> None:
        """Nothing more can be done here: a person has to look at it."""
        self._counts.settled("refused")
        log.error(
            "settle_refused",
            reservation_id=item.reservation_id,
            request_id=item.request_id,
            reason=reason,
            detail=message,
        )
        if self._directory is not None:
            outbox_log.set_aside(self._directory, item, reason, message)


def _batches(items: Iterable[SettleItem]) -> Iterator[list[SettleItem]]:
    rest = iter(items)
    while batch := list(islice(rest, MOST_AT_ONCE)):
        yield batch
