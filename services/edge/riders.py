"""Settlements that wait for the next reserve and travel in its message: the money is free before
that reserve is looked at, and quota and the KV have one thing to do instead of two."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.quota.v1.quota_pb2 import SettleItem, SettleResult
from services.common.errors import Unavailable

LOOK_SECONDS = 0.001
"""So long settlements wait where no reserve is under way: the shortest time of a timer."""

WITHOUT_SECONDS = 60.0
"""A quota that did not book them (it is older, or its KV is in trouble) is not given more along
for so long."""

_MOST_LOOKS = 50
_MOST_ITEMS = 128

Alone = Callable[[Sequence[SettleItem]], Awaitable[Sequence[SettleResult]]]


class _Rider(NamedTuple):
    items: Sequence[SettleItem]
    told: asyncio.Future[Sequence[SettleResult] | None]
    """None: nobody took them along."""


class Party:
    """Who leaves with one reserve."""

    def __init__(self, riders: Sequence[_Rider], refused: Callable[[], None]) -> None:
        self._riders = riders
        self._refused = refused
        self.items = [item for rider in riders for item in rider.items]

    def arrived(self, results: Sequence[SettleResult]) -> None:
        """``results`` of all items, or nothing where they were not booked."""
        whole = len(results) == len(self.items)
        if not whole:
            self._refused()
        at = 0
        for items, told in self._riders:
            if not told.done():
                told.set_result(results[at : at + len(items)] if whole else None)
            at += len(items)

    def stranded(self, error: Unavailable) -> None:
        """The ledger could not be asked."""
        for _, told in self._riders:
            if not told.done():
                told.set_exception(error)

    def leave(self) -> None:
        """Whoever has heard nothing goes alone: what became of the reserve may be its own fault."""
        for _, told in self._riders:
            if not told.done():
                told.set_result(None)


class Riders:
    """``alone`` sends settlements that nobody takes along; ``busy`` tells whether a reserve is
    under way, behind which the next one leaves."""

    def __init__(self, alone: Alone, busy: Callable[[], bool]) -> None:
        self._alone = alone
        self._busy = busy
        self._waiting: list[_Rider] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._not_before = 0.0

    async def __call__(self, items: Sequence[SettleItem]) -> Sequence[SettleResult]:
        """The results, in the order of the items. Raises GatewayError."""
        loop = asyncio.get_running_loop()
        if len(items) > _MOST_ITEMS or loop.time() < self._not_before:
            return await self._alone(items)
        rider = _Rider(items, loop.create_future())
        self._waiting.append(rider)
        if self._timer is None:
            self._timer = loop.call_later(LOOK_SECONDS, self._look)
        results = await rider.told
        return await self._alone(items) if results is None else results

    def board(self) -> Party:
        """Who goes along with a reserve that leaves now."""
        riders, self._waiting = self._waiting, []
        self._looks = 0
        return Party(riders, self._refused)

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        if self._busy() and self._looks < _MOST_LOOKS:
            self._looks += 1
            self._timer = loop.call_later(LOOK_SECONDS, self._look)
            return
        self.board().leave()

    def _refused(self) -> None:
        self._not_before = asyncio.get_running_loop().time() + WITHOUT_SECONDS
