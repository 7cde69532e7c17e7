"""The proof finds what is wrong, names it, and finds nothing where nothing is wrong."""

import asyncio
from typing import Any

import orjson
import pytest

from services.common import keys
from services.common.trail import Trail
from services.quota import scripts
from services.quota.archivist import Archivist
from services.quota.door import Door
from services.quota.items import Checkpoint, Owner
from services.quota.months import day_of, month_of
from services.quota.pricing import Bound
from services.quota.verify import Auditor, Verdict
from tests.quota.world import USD, World, now_ms, quota_keys, reserve, settle

MONTH = month_of(now_ms())


async def verify(ledger: World, org: str) -> Verdict:
    door = Door(ledger.kv, timeout=5)
    return await Auditor(door, ledger.books, scripts.load()).verify(org)


async def busy(ledger: World) -> Owner:
    """Two users; settled, released, running and late requests."""
    owner = await ledger.owner()
    other = await ledger.owner(org=owner.org)
    asks = [reserve(o, 100 + n) for n in range(8) for o in (owner, other)]
    await ledger.store.reserve(asks)
    await ledger.store.settle([settle(ask, 50) for ask in asks[:6]])
    await ledger.store.settle([settle(ask, 0, "release") for ask in asks[6:8]])
    return owner


async def test_nothing_is_found_where_nothing_is_wrong(ledger: World) -> None:
    owner = await busy(ledger)
    verdict = await verify(ledger, owner.org)
    assert verdict.differences == []
    assert verdict.entries == 16 + 6 + 2
    assert (verdict.spent, verdict.held) == (300, 2 * sum(100 + n for n in range(4, 8)))


async def test_the_proof_holds_while_requests_run(ledger: World) -> None:
    owner = await busy(ledger)
    done = False

    async def traffic() -> None:
        while not done:
            asks = [reserve(owner, bound=Bound(100_000, 1_000), output=5) for _ in range(5)]
            await ledger.store.reserve(asks)
            notes = [
                Checkpoint(ask.id, owner, 101, ask.tokens, 5 + n, ask.bound)
                for n, ask in enumerate(asks)
            ]
            await ledger.store.checkpoint(notes)
            await ledger.store.settle([settle(ask, 77) for ask in asks])

    running = [asyncio.create_task(traffic()) for _ in range(4)]
    found = [await verify(ledger, owner.org) for _ in range(12)]
    done = True
    await asyncio.gather(*running)
    assert [v.differences for v in found] == [[]] * 12
    assert found[-1].entries > found[0].entries


@pytest.mark.parametrize("scope", ["key", "user", "org"])
@pytest.mark.parametrize("measure", ["spent", "held", "requests", "input_tokens"])
async def test_a_wrong_counter_is_named(ledger: World, scope: str, measure: str) -> None:
    owner = await busy(ledger)
    await ledger.kv.hincrby(quota_keys(owner)[scope], f"{MONTH}:{measure}", 3)
    found = (await verify(ledger, owner.org)).differences
    subject = "org" if scope == "org" else f"{scope}:{getattr(owner, scope)}"
    wrong = [d for d in found if d.subject == subject and d.source == "journal"]
    assert [(d.field, d.month, d.counter - d.expected) for d in wrong] == [(measure, MONTH, 3)]


async def test_a_lost_journal_entry_a_lost_hold_and_a_wrong_record_are_named(
    ledger: World,
) -> None:
    owner = await busy(ledger)
    rows = await ledger.books.journal(owner.org, "-", "+", 100)
    last_settle = [entry_id for entry_id, entry in rows if entry["k"] == "settle"][-1]
    await ledger.kv.xdel(keys.journal(owner.org), last_settle)
    sources = {(d.field, d.source) for d in (await verify(ledger, owner.org)).differences}
    assert {("spent", "journal"), ("held", "journal"), ("requests", "journal")} <= sources
    [lease] = await ledger.books.leases(owner.org, 1)
    await ledger.kv.delete(keys.hold(owner.org, lease.id))
    sources = {(d.field, d.source) for d in (await verify(ledger, owner.org)).differences}
    assert {("held", "holds"), ("running", "holds")} <= sources
    records = keys.usage_records(owner.org, MONTH)
    field = next(f for f in await ledger.kv.hkeys(records) if f.endswith("|spent"))
    await ledger.kv.hincrby(records, field, 1)
    sources = {(d.field, d.source) for d in (await verify(ledger, owner.org)).differences}
    assert ("spent", "usage") in sources


async def test_counters_without_any_journal_are_found(ledger: World) -> None:
    owner = await ledger.owner()
    await ledger.kv.zadd(keys.user_keys(owner.org, owner.user), {owner.key: 1})
    await ledger.kv.hset(quota_keys(owner)["key"], f"{MONTH}:spent", USD)
    found = (await verify(ledger, owner.org)).differences
    assert (f"key:{owner.key}", "spent", USD, 0, "journal") in {
        (d.subject, d.field, d.counter, d.expected, d.source) for d in found
    }


def archiving(ledger: World, now: int) -> Archivist:
    trail = Trail(ledger.kv, now_ms)
    return Archivist(ledger.store, ledger.books, trail, days=1, clock=lambda: now)


async def yesterday(ledger: World, org: str, count: int) -> None:
    """Moves the first ``count`` entries of a journal one day back."""
    rows = await ledger.kv.xrange(keys.journal(org))
    await ledger.kv.delete(keys.journal(org))
    for n, (place, fields) in enumerate(rows):
        ms, _, sequence = place.partition("-")
        back = 86_400_000 if n < count else 0
        await ledger.kv.xadd(keys.journal(org), fields, id=f"{int(ms) - back}-{sequence}")


async def trail(ledger: World, org: str) -> list[Any]:
    return [orjson.loads(row["entry"]) for _, row in await ledger.kv.xrange(keys.audit(org))]


async def test_archived_entries_stay_part_of_the_proof(ledger: World) -> None:
    owner = await busy(ledger)
    rows = await ledger.kv.xrange(keys.journal(owner.org))
    later = reserve(owner, 100)
    await ledger.store.reserve([later])
    today = now_ms()
    archivist = archiving(ledger, today + 86_400_000)
    assert await archivist.archive() == 0  # today is not over
    assert await trail(ledger, owner.org) == []
    await yesterday(ledger, owner.org, len(rows))
    assert await archivist.archive() >= len(rows)
    assert [e["id"] for e in await ledger.journal(owner.org)] == [later.id]
    [told] = await trail(ledger, owner.org)
    assert (told["actor"], told["action"], told["target"]) == (
        "quota",
        "journal.archive",
        owner.org,
    )
    assert told["after"] == {"before": day_of(today), "journal_days": "1"}
    verdict = await verify(ledger, owner.org)
    assert (verdict.differences, verdict.entries) == ([], len(rows) + 1)
    await ledger.store.settle([settle(later, 60)])
    assert (await verify(ledger, owner.org)).spent == 360
    assert await archivist.archive() == 0
    assert len(await trail(ledger, owner.org)) == 1
    await ledger.kv.hincrby(
        keys.journal_sums(owner.org), f"{owner.user}|{owner.key}|{MONTH}|spent", 1
    )
    assert ("spent", "journal") in {
        (d.field, d.source) for d in (await verify(ledger, owner.org)).differences
    }


async def test_the_proof_holds_while_entries_are_archived(ledger: World) -> None:
    owner = await busy(ledger)
    done = False

    async def archive() -> None:
        while not done:
            asks = [reserve(owner, 100) for _ in range(5)]
            await ledger.store.reserve(asks)
            await ledger.store.settle([settle(ask, 77) for ask in asks])
            await ledger.store.archive(owner.org, now_ms(), 7)
            await asyncio.sleep(0.005)

    running = asyncio.create_task(archive())
    found = [await verify(ledger, owner.org) for _ in range(10)]
    done = True
    await running
    assert [v.differences for v in found] == [[]] * 10
    assert await ledger.kv.xlen(keys.journal(owner.org)) < found[-1].entries


async def test_a_key_that_cost_nothing_is_known_when_its_entries_are_archived(
    ledger: World,
) -> None:
    owner = await ledger.owner()
    await ledger.store.reserve([reserve(owner, 0)])
    await asyncio.sleep(0.002)
    other = await ledger.owner(org=owner.org)
    await ledger.store.reserve([reserve(other, 5)])
    newest = (await ledger.kv.xrevrange(keys.journal(owner.org), count=1))[0][0]
    assert await ledger.store.archive(owner.org, int(newest.partition("-")[0]), 10) == 1
    assert (await verify(ledger, owner.org)).differences == []
