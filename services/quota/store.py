"""The ledger: what changes money. One script call carries all items of one organisation."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from services.common import keys
from services.common.errors import GatewayError, Internal, Unavailable
from services.common.kv import Kv
from services.common.kv_cluster import ClusterKv
from services.quota import questions
from services.quota.door import Door
from services.quota.items import (
    SHARES_AHEAD_MS,
    SKEW_MS,
    Checked,
    Checkpoint,
    Granted,
    Refused,
    Reserve,
    Settle,
    Settled,
)
from services.quota.months import day_before
from services.quota.replies import admissions, checked, settled
from services.quota.scripts import Scripts

_BATCH = 256
"""Items of one script call: the KV does nothing else meanwhile (about 5 ms)."""

_DAYS_KEPT_MS = 3 * 24 * 60 * 60_000
_EDGE_ALIVE_MS = 60_000
_RETRY_MS = 1_000

Item = TypeVar("Item", Reserve, Checkpoint, Settle)
Answer = TypeVar("Answer")


class LedgerStore:
    """The ledger as functions, which raise Unavailable when the KV does not answer in time."""

    def __init__(self, door: Door, scripts: Scripts) -> None:
        self._door = door
        self._scripts = scripts

    async def reserve(self, items: Sequence[Reserve]) -> list[Granted | Refused]:
        """One organisation's KV node may be away: its items are refused, the others are not. Raises
        Unavailable when nothing could be decided, and there is no other node."""
        away = Refused("STORE_UNAVAILABLE", retry_ms=_RETRY_MS)
        return await self._batched(items, self._reserve, away)

    async def checkpoint(self, items: Sequence[Checkpoint]) -> list[Checked]:
        return await self._batched(items, self._checkpoint)

    async def settle(self, items: Sequence[Settle]) -> list[Settled]:
        """Items without a month, or with another than their reservation's, find it out."""
        return await self._in_their_month(items, await self._batched(items, self._settle))

    async def _in_their_month(self, items: Sequence[Settle], found: list[Settled]) -> list[Settled]:
        wrong = [n for n, settled in enumerate(found) if settled.code == "MONTH"]
        if wrong:
            again = [replace(items[n], month=found[n].month) for n in wrong]
            for n, settled in zip(wrong, await self._batched(again, self._settle), strict=True):
                found[n] = settled
        return found

    async def settle_and_reserve(
        self, settles: Sequence[Settle], asks: Sequence[Reserve]
    ) -> tuple[list[Settled] | None, list[Granted | Refused]]:
        """In this order; None where the settles could not be booked, which does not touch the
        reserves. One script call where it is one organisation's."""
        few = 0 < len(settles) <= _BATCH and 0 < len(asks) <= _BATCH
        if few and not self._door.has_nodes:
            items: list[Settle | Reserve] = [*settles, *asks]
            orgs = {item.owner.org for item in items}
            try:
                if len(orgs) == 1:
                    return await self._exchange(orgs.pop(), settles, asks)
            except Internal:
                pass  # who stumbled shows when they are asked apart
        booking = asyncio.create_task(self.settle(settles))
        if self._door.has_nodes:
            await asyncio.wait((booking,))
        for _ in range(2):  # its calls are on their way, and the KV takes one after the other
            await asyncio.sleep(0)
        try:
            admitted = await self.reserve(asks)
        finally:
            await asyncio.wait((booking,))
            failed = booking.exception()
        if failed is not None and not isinstance(failed, GatewayError):
            raise failed
        return None if failed else booking.result(), admitted

    async def share(self, org: str, edge: str, edges: int, day: str) -> int | None:
        """An edge's part of the fail-open budget of ``day``; None for an organisation that fails
        closed, and for a day that is not the KV's."""
        names = [
            keys.org_config(org),
            keys.grace_shares(org, day),
            keys.grace_shares(org, day_before(day)),
        ]
        args: list[str | int] = [edge, edges, day, _DAYS_KEPT_MS, SHARES_AHEAD_MS]
        code, share = await self._door.run(self._scripts.share, names, args)
        return int(share) if code == "SHARE" else None

    async def give_back(self, org: str, edge: str, day: str, spent: int, caller_ms: int) -> int:
        """What ``edge``, which stops, has not spent of its share; it is free for others."""
        args: list[str | int] = [edge, spent, caller_ms, SKEW_MS]
        names = [keys.grace_shares(org, day)]
        return int(await self._door.run(self._scripts.giveback, names, args))

    async def live_edges(self, edge: str, now_ms: int) -> int:
        """Notes that ``edge`` is alive and answers how many are."""

        async def note(kv: Kv) -> int:
            await kv.zadd(keys.EDGES, {edge: now_ms})
            await kv.zremrangebyscore(keys.EDGES, "-inf", now_ms - _EDGE_ALIVE_MS)
            return int(await kv.zcard(keys.EDGES))

        return await self._door.ask(note)

    async def write(self, edge: str, now_ms: int) -> None:
        """Raises Unavailable when the KV takes no writes, whatever it can still tell. In a cluster
        other nodes may: there nothing is tried."""
        if not self._door.has_nodes:
            await self._door.ask(lambda kv: kv.zadd(keys.EDGES, {edge: now_ms}))

    async def leave(self, edge: str) -> None:
        """Notes that ``edge`` is gone."""
        await self._door.ask(lambda kv: kv.zrem(keys.EDGES, edge))

    async def epoch(self) -> str:
        """Changes with every restart and every failover of the KV, and with every node of it that
        goes or comes. Raises Unavailable when none is there."""

        async def ask(kv: Kv) -> str:
            nodes = list((await kv.primaries()).values()) if isinstance(kv, ClusterKv) else [kv]
            told = await asyncio.gather(
                *(node.info("server") for node in nodes), return_exceptions=True
            )
            ids = [str(info["run_id"]) for info in told if isinstance(info, dict)]
            if not ids:
                raise ConnectionError("no node of the KV tells who it is")
            return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:16]

        return await self._door.ask(ask)

    async def archive(self, org: str, before_ms: int, count: int) -> int:
        """Drops up to ``count`` journal entries older than ``before_ms``, whose sums are kept."""
        names = [keys.journal(org), keys.journal_sums(org)]
        return int(await self._door.run(self._scripts.archive, names, [before_ms, count]))

    async def _batched(
        self,
        items: Sequence[Item],
        send: Callable[[str, Sequence[Item]], Awaitable[list[Answer]]],
        away: Answer | None = None,
    ) -> list[Answer]:
        """Answers in the order of the items, one call per organisation and ``_BATCH`` items.
        ``away`` answers for items whose call failed where others did not."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            places[item.owner.org].append(place)
        parts = [
            (org, mine[start : start + _BATCH])
            for org, mine in places.items()
            for start in range(0, len(mine), _BATCH)
        ]
        if len(parts) == 1 and not (away is not None and self._door.has_nodes):
            return await send(items[0].owner.org, items)
        calls = [send(org, [items[n] for n in part]) for org, part in parts]
        done = await asyncio.gather(*calls, return_exceptions=True)
        failures = [found for found in done if isinstance(found, BaseException)]
        for failure in failures:
            nothing = len(failures) == len(done) and not self._door.has_nodes
            if away is None or nothing or not isinstance(failure, Unavailable):
                raise failure
        answers: list[Any] = [away] * len(items)
        for (_, part), replies in zip(parts, done, strict=True):
            if not isinstance(replies, BaseException):
                for place, reply in zip(part, replies, strict=True):
                    answers[place] = reply
        return answers

    async def _reserve(self, org: str, items: Sequence[Reserve]) -> list[Granted | Refused]:
        question = questions.exchange(org, (), items)
        return admissions(await self._door.run(self._scripts.reserve, *question))

    async def _checkpoint(self, org: str, items: Sequence[Checkpoint]) -> list[Checked]:
        question = questions.checkpoint(org, items)
        return list(map(checked, await self._door.run(self._scripts.checkpoint, *question)))

    async def _exchange(
        self, org: str, settles: Sequence[Settle], asks: Sequence[Reserve]
    ) -> tuple[list[Settled], list[Granted | Refused]]:
        question = questions.exchange(org, settles, asks)
        booked, admitted = await self._door.run(self._scripts.exchange, *question)
        found = await self._in_their_month(settles, list(map(settled, settles, booked)))
        return found, admissions(admitted)

    async def _settle(self, org: str, items: Sequence[Settle]) -> list[Settled]:
        question = questions.exchange(org, items, ())
        replies = await self._door.run(self._scripts.settle, *question)
        return list(map(settled, items, replies))
