"""Fail-open: what all edges together may spend in a day without asking never exceeds the budget."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest

from gateway.quota.v1 import quota_pb2 as pb
from services.common import keys
from services.quota import scripts
from services.quota.months import day_of
from tests.quota.duel import Duel, ask, charge
from tests.quota.rpc import Rpc, serving
from tests.quota.world import TEST_CLOCK, USD, World, name, now_ms, world

DAY_MS = 86_400_000
NOON = 1_793_491_200_000 + 12 * 3_600_000  # 2026-11-01T12:00:00Z


@pytest.fixture
async def clocked(kv_url: str) -> AsyncIterator[World]:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        yield made


async def fail_open(ledger: World, budget: int) -> str:
    owner = await ledger.owner(failure_mode="fail-open", fallback_daily=str(budget))
    return owner.org


async def at(ledger: World, ms: int) -> str:
    await ledger.kv.set("test:clock", ms)
    return day_of(ms)


async def test_edges_that_start_together_share_equally(clocked: World) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    first = [await clocked.store.share(org, edge, 1, day) for edge in ("a", "b", "c")]
    again = [await clocked.store.share(org, edge, 1, day) for edge in ("a", "b", "c")]
    assert (first, again) == ([0, 0, 0], [33, 33, 33])
    assert await clocked.store.share(org, "d", 1, day) == 0
    assert await clocked.store.share(org, "d", 1, day) == 1, "what is left"


async def test_edges_of_yesterday_are_reckoned_with_and_get_their_part_at_once(
    clocked: World,
) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    for _ in range(2):
        for edge in ("a", "b"):
            await clocked.store.share(org, edge, 1, day)
    tomorrow = await at(clocked, NOON + DAY_MS)
    assert await clocked.store.share(org, "a", 1, tomorrow) == 50
    assert await clocked.store.share(org, "new", 1, tomorrow) == 0
    assert await clocked.store.share(org, "new", 1, tomorrow) == 50, "b has not come yet"
    assert await clocked.store.share(org, "b", 1, tomorrow) == 0, "the day's budget is handed out"


async def test_a_minimum_of_edges_keeps_parts_for_those_to_come(clocked: World) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    for _ in range(2):
        share = await clocked.store.share(org, "a", 4, day)
    assert share == 25


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_joins_or_dies_the_days_shares_stay_within_the_budget(
    clocked: World, seed: int
) -> None:
    dice = random.Random(seed)
    budget = dice.randrange(1, 10**12)
    org, now = await fail_open(clocked, budget), NOON
    told: dict[tuple[str, str], int] = {}
    edges = [name("edge") for _ in range(3)]
    for _ in range(150):
        day = await at(clocked, now)
        if dice.random() < 0.1:
            edges[dice.randrange(len(edges))] = name("edge")
        if dice.random() < 0.05:
            edges.append(name("edge"))
        if dice.random() < 0.05:
            now += dice.choice([3_600_000, DAY_MS])
        edge = dice.choice(edges)
        share = await clocked.store.share(org, edge, dice.randrange(1, 5), day)
        assert share is not None
        told[day, edge] = max(told.get((day, edge), 0), share)
        assert sum(n for (d, _), n in told.items() if d == day) <= budget


async def test_a_lowered_budget_lowers_the_shares_and_a_raised_one_lets_them_grow(
    clocked: World,
) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    for _ in range(2):
        for edge in ("a", "b"):
            await clocked.store.share(org, edge, 1, day)
    for budget, parts in ((60, [30, 30]), (100, [50, 50]), (300, [150, 150]), (0, [0, 0])):
        await clocked.kv.hset(keys.org_config(org), "fallback_daily", budget)
        assert [await clocked.store.share(org, e, 1, day) for e in ("a", "b")] == parts


async def test_closed_suspended_and_unknown_organisations_have_no_share(clocked: World) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    closed = (await clocked.owner()).org
    assert await clocked.store.share(closed, "a", 1, day) is None
    assert await clocked.store.share(name("org"), "a", 1, day) is None
    assert await clocked.store.share(org, "a", 1, day_of(NOON - DAY_MS)) is None
    await clocked.kv.hset(keys.org_config(org), "status", "suspended")
    assert await clocked.store.share(org, "a", 1, day) is None


async def test_shares_come_with_checkpoints_and_end_with_the_day(ledger: World, rpc: Rpc) -> None:
    org, closed = await fail_open(ledger, 10 * USD), (await ledger.owner()).org
    for _ in range(2):
        answer = await rpc.checkpoint(edge_id=name("e"), share_org_ids=[org, closed, "{x}"])
        assert {share.org_id for share in answer.shares} == {org}
        assert all(now_ms() < share.expire_time_ms for share in answer.shares)
        assert answer.shares[0].day == day_of(now_ms())


async def test_an_edge_that_stops_leaves_what_it_has_not_spent_to_those_who_come(
    clocked: World,
) -> None:
    org, day = await fail_open(clocked, 100), await at(clocked, NOON)
    store = clocked.store
    for _ in range(2):
        shares = [await store.share(org, edge, 1, day) for edge in ("a", "b")]
    assert shares == [50, 50]
    assert await store.give_back(org, "a", day, 0, NOON - 2_001) == 0, "a may be back by now"
    assert await store.give_back(org, "a", day, 0, NOON) == 50
    assert await store.give_back(org, "a", day, 0, NOON) == 0
    assert await store.give_back(org, "b", day, 20, NOON) == 30
    assert await store.give_back(org, "b", day, 30, NOON) == 0, "20 are gone for good"
    assert await store.give_back(org, "unknown", day, 0, NOON) == 0
    parts = [await store.share(org, edge, 1, day) for _ in range(2) for edge in ("c", "b")]
    assert parts == [0, 50, 50, 50]
    assert await store.share(org, "d", 1, day) == 0


async def test_a_rolling_restart_under_new_names_keeps_the_days_budget_usable(
    clocked: World,
) -> None:
    org, day = await fail_open(clocked, 900), await at(clocked, NOON)
    for _ in range(5):
        edges = [name("edge") for _ in range(3)]
        for _ in range(2):
            shares = [await clocked.store.share(org, edge, 1, day) for edge in edges]
        assert shares == [300] * 3
        for edge in edges:
            await clocked.store.give_back(org, edge, day, 0, NOON)


async def test_who_gives_its_shares_back_is_not_reckoned_with_any_more(
    ledger: World, rpc: Rpc
) -> None:
    org, edge = await fail_open(ledger, 900), name("edge")
    for _ in range(2):
        answer = await rpc.checkpoint(edge_id=edge, share_org_ids=[org])
    day = answer.shares[0].day
    assert await ledger.kv.hget(keys.grace_shares(org, day), edge) != "0"
    given = [pb.GraceShare(org_id=org, day=share.day, share_nano_usd=0) for share in answer.shares]
    await rpc.checkpoint(edge_id=edge, returned_shares=given)
    assert not await ledger.kv.hexists(keys.grace_shares(org, day), edge)
    assert await ledger.kv.zscore(keys.EDGES, edge) is None
    odd = [pb.GraceShare(org_id="{x}", day=day), pb.GraceShare(org_id=org, day="today")]
    for share in odd:
        with pytest.raises(grpc.aio.AioRpcError, match="returned_shares"):
            await rpc.checkpoint(edge_id=edge, returned_shares=[share])


async def test_tomorrows_shares_go_out_six_hours_before_midnight(clocked: World) -> None:
    org = await fail_open(clocked, 100)
    for now, days in ((NOON, 1), (NOON + 6 * 3_600_000 - 1, 1), (NOON + 6 * 3_600_000, 2)):
        await at(clocked, now)
        async with serving(clocked, clock=lambda now=now: now) as rpc:  # type: ignore[misc]
            answer = await rpc.checkpoint(edge_id="e", share_org_ids=[org], caller_time_ms=now)
            assert [s.day for s in answer.shares] == [day_of(now), day_of(now + DAY_MS)][:days]


async def test_edges_in_an_outage_are_reconciled_to_the_nano_dollar(clocked: World) -> None:
    """Three edges spend their shares on their own; when quota is back, each settle books once."""
    duel = Duel(clocked, scripts.load(clock=TEST_CLOCK))
    await duel.begin()
    await duel.clock(NOON)
    spent = [replace(ask(duel, n % 3, id=name("rsv")), fingerprint=f"g{n}") for n in range(30)]
    await duel.clock(NOON + 3 * 3_600_000)
    settles = [charge(one, 33, grace=True) for one in spent]
    await duel.settle(*settles)
    again = await duel.settle(*settles)
    assert {s.code for s in again} == {"DUP"}
    counters = await clocked.counters(duel.owners[0], "2026-11")
    assert (counters["org"]["spent"], counters["org"]["grace"]) == (990, 990)
    await duel.check()
