"""Fail-open: the parts of daily budgets that edges may spend without asking, and at what prices."""

import asyncio
from collections.abc import Callable, Iterable

from gateway.quota.v1 import quota_pb2 as pb
from services.common import keys
from services.common.errors import InvalidField
from services.quota import wire
from services.quota.items import SHARES_AHEAD_MS, SKEW_MS
from services.quota.months import day_end_ms, day_of, is_day
from services.quota.prices import PriceBook, Unpriced
from services.quota.store import LedgerStore


class Shares:
    """``clock`` gives Unix milliseconds."""

    def __init__(
        self, store: LedgerStore, prices: PriceBook, *, min_edges: int, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._prices = prices
        self._min_edges = min_edges
        self._clock = clock

    async def hand_out(self, request: pb.CheckpointReservationsRequest) -> list[pb.GraceShare]:
        """None for a caller whose clock is off: it would not know when its shares end."""
        now = self._clock()
        orgs = [org for org in dict.fromkeys(request.share_org_ids) if keys.is_id(org)]
        if not orgs or abs(now - request.caller_time_ms) > SKEW_MS:
            return []
        live = await self._store.live_edges(request.edge_id, now)
        edges = max(live, self._min_edges)
        days = dict.fromkeys((day_of(now), day_of(now + SHARES_AHEAD_MS)))
        wanted = [(org, day) for org in orgs for day in days]
        given = await asyncio.gather(
            *(self._store.share(org, request.edge_id, edges, day) for org, day in wanted)
        )
        return [
            pb.GraceShare(org_id=org, day=day, share_nano_usd=share, expire_time_ms=day_end_ms(day))
            for (org, day), share in zip(wanted, given, strict=True)
            if share is not None
        ]

    async def take_back(self, request: pb.CheckpointReservationsRequest) -> None:
        edge, at = request.edge_id, request.caller_time_ms
        if request.returned_shares:
            await self._store.leave(edge)
        for share in request.returned_shares:
            if not (keys.is_id(share.org_id) and is_day(share.day)):
                raise InvalidField("returned_shares", "are shares that were handed out")
            spent = max(0, share.share_nano_usd)
            await self._store.give_back(share.org_id, edge, share.day, spent, at)

    def prices(self, models: Iterable[str]) -> list[pb.ModelPrice]:
        found = []
        for model in models:
            try:
                found.append(wire.model_price(model, self._prices, self._clock()))
            except (Unpriced, InvalidField):
                continue
        return found
