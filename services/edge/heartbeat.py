"""Every second: is the ledger there, on which KV does it stand? And every few: what may we spend
without it?

So an outage is known before a request meets it. While the ledger does not answer it beats faster,
so that an outage ends for everybody as soon as it is over. It also takes in what edges left that
share our disk and are gone.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.quota.v1.quota_pb2 import CheckpointReservationsResponse, GraceShare
from services.common.errors import GatewayError, Unanswered, Unavailable
from services.common.logs import logger
from services.edge import grace_file, journal, slot
from services.edge.breaker import PROBE_SECONDS, Breaker
from services.edge.grace import Grace
from services.edge.outbox import Outbox

log = logger("heartbeat")

BEAT_SECONDS = 1.0
"""Shorter than the KV has to be away before quota says that it is not serving (``serve``): until
then quota answers, and says why."""

TIDY_SECONDS = 30.0
_GATHER_SECONDS = 0.02

Beat = Callable[[list[str], list[str]], Awaitable[CheckpointReservationsResponse]]
"""Organisations that want a share, models that want a price. Raises GatewayError."""

GiveBack = Callable[[list[GraceShare]], Awaitable[None]]
"""What is spent of the shares we held. Raises GatewayError."""


class Heartbeat:
    def __init__(
        self,
        beat: Beat,
        give_back: GiveBack,
        breaker: Breaker,
        outbox: Outbox,
        grace: Grace,
        *,
        every: float,
    ) -> None:
        self._beat = beat
        self._give_back = give_back
        self._breaker = breaker
        self._outbox = outbox
        self._grace = grace
        self._every = every
        self._news = asyncio.Event()
        self._wanted = False
        self._tasks: list[asyncio.Task[None]] = []
        grace.news = self._somebody_new
        breaker.on_change = lambda _: self._news.set()

    def start(self, data_dir: Path | None) -> None:
        """``data_dir`` is where other edges may leave something; None where nothing can be."""
        self._tasks = [asyncio.create_task(self._run())]
        if data_dir is not None:
            self._tasks.append(asyncio.create_task(tidy(data_dir, self._outbox, self._grace)))

    def _somebody_new(self) -> None:
        self._wanted = True
        self._news.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._breaker.open:  # in an outage whoever comes after us on this disk needs them
            await self._part()

    async def _part(self) -> None:
        """Our shares are for whoever takes our place, today."""
        try:
            if given := await self._grace.give_up():
                await self._give_back(given)
        except GatewayError as error:
            log.warning("shares_not_returned", cause=str(error))

    async def beat(self) -> None:
        """Whether the ledger is there. Raises GatewayError."""
        began = time.monotonic()
        try:
            told = await self._beat([], [])
        except Unavailable as error:
            silent = isinstance(error, Unanswered)
            self._breaker.failed(time.monotonic() - began, silent=silent)
            raise
        self._breaker.succeeded()
        self._outbox.heard(told.store_epoch)
        await self._grace.heard([], told)

    async def renew(self) -> None:
        """Our shares and prices. A KV node of some organisations may be away, which is no reason
        not to ask for others. Raises GatewayError."""
        orgs, models = self._grace.wanted()
        if orgs or models:
            await self._grace.heard(orgs, await self._beat(orgs, models))

    async def _run(self) -> None:
        renewed = -math.inf
        while True:
            self._news.clear()
            pause = PROBE_SECONDS
            try:
                await self.beat()
                pause = min(BEAT_SECONDS, self._every)
                if self._wanted or time.monotonic() - renewed >= self._every:
                    await self.renew()
                    renewed, self._wanted = time.monotonic(), False
            except GatewayError as error:
                if not self._breaker.open:
                    log.warning("heartbeat_failed", cause=str(error))
            if self._breaker.open:
                await asyncio.sleep(PROBE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
                await asyncio.sleep(_GATHER_SECONDS)


async def tidy(data_dir: Path, outbox: Outbox, grace: Grace) -> None:
    """Now and then: take in what is abandoned, drop what is old. Runs until cancelled."""
    gone: frozenset[str] = frozenset()
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        try:
            gone = await look(data_dir, gone, outbox, grace)
            await asyncio.to_thread(outbox.tidy)
        except OSError as error:
            log.warning("tidy_failed", cause=str(error))


async def look(
    data_dir: Path, gone: frozenset[str], outbox: Outbox, grace: Grace
) -> frozenset[str]:
    """Take in what was abandoned at the look before, ``gone``, and still is; answers with the ids
    of what is abandoned now. An edge that is only being started again finds its own directory, and
    stays the edge that it was. Raises OSError."""
    still = set()
    for found in slot.abandoned(data_dir):
        if found.edge_id in gone:
            await take_in(found, outbox, grace)
        else:
            still.add(found.edge_id)
            found.release()
    return frozenset(still)


async def take_in(found: slot.Slot, outbox: Outbox, grace: Grace) -> None:
    """Move what a gone edge left into our outbox. What it spent of its share stays written down,
    for the case that it starts again. Raises OSError."""
    try:
        items = outbox.adopt(found.path)
        book = grace_file.load(found.path)
        items += grace.resume(book, outbox.known)
        await outbox.flushed()
        if any(book.spent.values()):
            await asyncio.to_thread(grace_file.replace, found.path / grace_file.NAME, book.dump())
        else:
            (found.path / grace_file.NAME).unlink(missing_ok=True)
        for segment in journal.segments(found.path):
            segment.unlink()
        if items:
            log.info("adopted", edge=found.edge_id, items=items)
    finally:
        found.remove()
