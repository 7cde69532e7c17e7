"""Holds whose edge is silent end here: charged what their last checkpoint says, never forgotten.

Any number of replicas may sweep at once; the script decides, once, whether a lease has ended.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

from services.common.errors import GatewayError
from services.common.logs import logger
from services.quota.books import Books
from services.quota.items import Lease, Settle
from services.quota.store import LedgerStore

log = logger("sweeper")

_ROUND = 1_000
"""Organisations looked at in one pass beside those seen by this process."""

_ORGS_AT_ONCE = 200
_AT_ONCE = 256
_MAX_SEEN = 10_000


class Sweeper:
    """Looks every ``seconds`` at the organisations this process served, and at a next part of all
    others, so that holds end when the process that made them is gone, too."""

    def __init__(
        self,
        store: LedgerStore,
        books: Books,
        *,
        seconds: float,
        clock: Callable[[], int],
        registry: CollectorRegistry,
    ) -> None:
        self._store = store
        self._books = books
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, None] = {}
        self._after = ""
        self._expired = Counter(
            "gateway_quota_holds_expired",
            "Holds that ended without a settle.",
            registry=registry,
        )

    def see(self, org: str) -> None:
        """Look at this organisation in the next passes."""
        self._seen.pop(org, None)
        self._seen[org] = None
        while len(self._seen) > _MAX_SEEN:
            del self._seen[next(iter(self._seen))]

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except GatewayError as error:
                log.warning("sweep_failed", cause=f"{error} ({error.__cause__!r})")
            await asyncio.sleep(self._seconds)

    async def sweep(self) -> int:
        """One pass; answers how many holds expired."""
        others = await self._books.organisations(self._after, _ROUND)
        self._after = others[-1] if len(others) == _ROUND else ""
        orgs = list(dict.fromkeys([*self._seen, *others]))
        expired = 0
        for start in range(0, len(orgs), _ORGS_AT_ONCE):
            part = orgs[start : start + _ORGS_AT_ONCE]
            for org, end_ms in zip(part, await self._books.first_ends(part), strict=True):
                if end_ms is None:
                    self._seen.pop(org, None)
                elif end_ms <= self._clock():
                    expired += await self._expire(org)
        if expired:
            self._expired.inc(expired)
            log.info("holds_expired", count=expired)
        return expired

    async def _expire(self, org: str) -> int:
        """Ends what is due in one organisation."""
        expired = 0
        while True:
            now = self._clock()
            leases = await self._books.leases(org, _AT_ONCE)
            due = [lease for lease in leases if lease.end_ms <= now]
            settled = await self._store.settle([_expiry(lease, now) for lease in due])
            expired += sum(answer.code == "OK" for answer in settled)
            if len(due) < _AT_ONCE or "ALIVE" in [answer.code for answer in settled]:
                return expired


def _expiry(lease: Lease, now_ms: int) -> Settle:
    return Settle(id=lease.id, kind="expire", owner=lease.owner, month="", admit_ms=now_ms)
