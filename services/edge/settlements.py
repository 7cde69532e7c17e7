"""Every admitted request ends here: its real cost goes to the ledger, whatever became of the
request. Handing it over never waits; ``outbox`` does the rest."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.quota.v1.quota_pb2 import SettleItem, SettleResult

MOST_AT_ONCE = 128
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0

Send = Callable[[list[SettleItem]], Awaitable[Sequence[SettleResult]]]


class Settlements(Protocol):
    """Where finished requests are handed over."""

    def submit(self, item: SettleItem) -> None:
        """Take an item; it will be booked once, as soon as the ledger answers."""


class DurableSettlements(Settlements, Protocol):
    """Where they survive this process, too."""

    async def flushed(self) -> None:
        """Wait until all that was handed over is on the disk."""


class Counts(Protocol):
    """What becomes of items, for the metrics."""

    def settled(self, outcome: str) -> None: ...
