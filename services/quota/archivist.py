"""The journal lives in the KV's memory: where an operator says so, old entries become sums.

Days are dropped whole, and the audit trail is told of each before its first entry goes.
"""

import asyncio
from collections.abc import Callable

from services.common.errors import GatewayError
from services.common.logs import logger
from services.common.trail import Author, Trail
from services.quota.books import Books
from services.quota.months import day_of
from services.quota.store import LedgerStore

log = logger("archivist")

ACTION = "journal.archive"

_DAY_MS = 24 * 60 * 60_000
_PAUSE_SECONDS = 3_600
_AT_ONCE = 200


class Archivist:
    """Drops journal entries older than ``days``, every hour. Any number of replicas may."""

    def __init__(
        self,
        store: LedgerStore,
        books: Books,
        trail: Trail,
        *,
        days: int,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._books = books
        self._trail = trail
        self._days = days
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled; at once where entries are kept for ever."""
        while self._days:
            try:
                await self.archive()
            except GatewayError as error:
                log.warning("archive_failed", cause=f"{error} ({error.__cause__!r})")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def archive(self) -> int:
        """One pass over all organisations; answers how many entries were dropped."""
        kept = self._clock() - self._days * _DAY_MS
        before = kept - kept % _DAY_MS
        dropped = 0
        async for orgs in self._books.each_organisation():
            for org in orgs:
                if await self._books.journal(org, "-", f"({before}-0", 1):
                    await self._tell(org, before)
                while found := await self._store.archive(org, before, _AT_ONCE):
                    dropped += found
        if dropped:
            log.info("journal_archived", entries=dropped)
        return dropped

    async def _tell(self, org: str, before: int) -> None:
        day = day_of(before)
        facts = {"before": day, "journal_days": str(self._days)}
        await self._trail.tell(org, Author("quota"), ACTION, org, facts, f"journal-{day}")
