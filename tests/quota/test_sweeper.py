"""Holds without a sign of life end at their last checkpoint, once, whoever sweeps."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.quota import scripts
from services.quota.items import LEASE_MS
from services.quota.sweeper import Sweeper
from tests.quota.duel import START, Duel, ask, charge, note
from tests.quota.world import TEST_CLOCK, world


@pytest.fixture
async def duel(kv_flush: str) -> AsyncIterator[Duel]:
    async with world(kv_flush, clock=TEST_CLOCK) as made:
        found = Duel(made, scripts.load(clock=TEST_CLOCK))
        await found.begin()
        yield found


def sweeper(duel: Duel) -> Sweeper:
    return Sweeper(
        duel.store,
        duel.world.books,
        seconds=5,
        clock=lambda: duel.now,
        registry=CollectorRegistry(),
    )


async def test_a_silent_hold_is_charged_what_its_last_checkpoint_says(duel: Duel) -> None:
    silent, heard, never = ask(duel, 0), ask(duel, 1), ask(duel, 2)
    await duel.reserve(silent, heard, never)
    await duel.checkpoint(note(silent, 170))
    await duel.clock(START + 20_000)
    await duel.checkpoint(note(heard, 150))
    await duel.clock(START + LEASE_MS)
    one = sweeper(duel)
    assert await one.sweep() == 2
    charges = {e["id"]: (e["s"], e["f"]) for e in await duel.world.journal(duel.org)
               if e["k"] == "expire"}  # fmt: skip
    # The one never heard of pays its input: 99.5 nano-USD, rounded up.
    assert charges == {silent.id: ("170", "expired"), never.id: ("100", "expired")}
    assert await one.sweep() == 0
    await duel.clock(START + 20_000 + LEASE_MS)
    assert await one.sweep() == 1


async def test_many_replicas_expire_a_hold_once(duel: Duel) -> None:
    await duel.reserve(*(ask(duel, n % 3) for n in range(300)))
    await duel.clock(START + LEASE_MS)
    found = await asyncio.gather(*(sweeper(duel).sweep() for _ in range(4)))
    assert sum(found) == 300
    expired = [e for e in await duel.world.journal(duel.org) if e["k"] == "expire"]
    assert len(expired) == 300
    assert (await duel.auditor.verify(duel.org)).differences == []


async def test_a_late_settle_corrects_an_expiry_by_the_difference(duel: Duel) -> None:
    made = ask(duel, 0)
    await duel.reserve(made)
    await duel.clock(START + LEASE_MS)
    await duel.expire()
    [settled] = await duel.settle(charge(made, 130))
    assert (settled.code, settled.charged) == ("OK", 130)
    last = (await duel.world.journal(duel.org))[-1]
    assert (last["s"], last["f"]) == ("30", "late")
    await duel.check()


async def test_organisations_of_processes_that_are_gone_are_swept_in_their_turn(
    duel: Duel,
) -> None:
    await duel.kv.zadd("orgs", {f"org_{n:04}": 0 for n in range(2_500)})
    await duel.reserve(ask(duel, 0))
    await duel.clock(START + LEASE_MS)
    one = sweeper(duel)
    assert sum([await one.sweep() for _ in range(3)]) == 1
