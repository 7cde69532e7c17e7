"""Ten thousand at once over two servers: exactly as many are admitted as the budget affords."""

import asyncio
import random
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from gateway.quota.v1 import admin_pb2 as admin
from tests.quota.duel import START
from tests.quota.rpc import AS_ADMIN, Rpc, reserve_item, serving, settle_item
from tests.quota.world import CLOCK_KEY, TEST_CLOCK, world

ALL, AFFORDABLE = 10_000, 1_000
COST = 10 * 1_000 + 20 * 2_000


def batches(items: list[Any], dice: random.Random) -> Iterator[list[Any]]:
    """Runs of 1 to 120 items, as edges send them."""
    while items:
        size = dice.choice([1, 1, 5, 40, 120])
        yield items[:size]
        del items[:size]


@pytest.mark.timeout(120)
async def test_ten_thousand_at_once_admit_exactly_what_the_budget_affords(
    kv_url: str,
) -> None:
    dice = random.Random(3)
    # The clock stands still: on a busy machine the last ones wait longer than clocks may differ.
    async with (
        world(kv_url, clock=TEST_CLOCK, wait=60) as ledger,
        world(kv_url, clock=TEST_CLOCK, wait=60) as other,
        serving(ledger, clock=lambda: START) as one,
        serving(other, clock=lambda: START) as two,
    ):
        await ledger.kv.set(CLOCK_KEY, START)
        budget = AFFORDABLE * COST
        first = await ledger.owner(org_limit=budget)
        owners = [first] + [await ledger.owner(org=first.org, org_limit=budget) for _ in range(19)]
        items = [reserve_item(owners[n % 20], caller_time_ms=START) for n in range(ALL)]
        known = {item.reservation_id: item for item in items}
        sent = list(batches(items, dice))
        servers: Iterator[Rpc] = cycle([one, two])
        answers = await asyncio.gather(*(next(servers).reserve(*batch) for batch in sent))
        granted, refusals = {}, []
        for batch, results in zip(sent, answers, strict=True):
            for item, result in zip(batch, results, strict=True):
                if result.WhichOneof("outcome") == "grant":
                    granted[item.reservation_id] = result.grant
                else:
                    refusals.append(result.refusal.reason)
        assert len(granted) == AFFORDABLE
        assert refusals == ["BUDGET_HELD"] * (ALL - AFFORDABLE)
        settles = [
            settle_item(known[rid], grant, 10, 20)
            for rid, grant in granted.items()
            for _ in range(dice.randrange(1, 4))
        ]
        dice.shuffle(settles)
        outcomes = await asyncio.gather(
            *(next(servers).settle(*batch) for batch in batches(settles, dice))
        )
        fresh = [r for results in outcomes for r in results if not r.duplicate]
        assert [r.charged_nano_usd for r in fresh] == [COST] * AFFORDABLE
        request = admin.VerifyLedgerRequest(org_id=first.org)
        verdict = await one.admin.VerifyLedger(request, metadata=AS_ADMIN)
        assert (verdict.spent_nano_usd, verdict.held_nano_usd) == (AFFORDABLE * COST, 0)
        assert list(verdict.differences) == []
        [late] = await two.reserve(reserve_item(first, caller_time_ms=START))
        assert late.refusal.reason == "BUDGET_EXHAUSTED"
