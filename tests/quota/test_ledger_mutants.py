"""Every mistake in ``mutants.py`` is noticed by one fixed story told to scripts and model."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common import keys
from services.quota import scripts
from services.quota.months import day_of, next_start_ms
from services.quota.pricing import Bound
from services.quota.rules import Config
from services.quota.scripts import Scripts
from tests.quota.duel import Duel, ask, charge, note
from tests.quota.mutants import MUTANTS, Mutant
from tests.quota.world import TEST_CLOCK, World, name, world


@pytest.fixture
async def clocked(kv_url: str) -> AsyncIterator[World]:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        yield made


def mutate(mutant: Mutant, into: Path) -> Scripts:
    shutil.copytree(scripts.FOLDER, into)
    path = into / f"{mutant.script}.lua"
    text = path.read_text()
    assert text.count(mutant.right) == 1, f"{mutant.name}: the script has changed"
    path.write_text(text.replace(mutant.right, mutant.wrong))
    return scripts.load(into, clock=TEST_CLOCK)


async def story(duel: Duel) -> None:
    """Each rule at its edge, then a hundred steps of a fixed gamble."""
    await duel.begin()
    await holds_and_refusals(duel)
    await extensions(duel)
    await settles(duel)
    await statuses_and_models(duel)
    await rates(duel)
    await months(duel)
    await exchanges(duel)
    await shares(duel)
    await gamble(duel, random.Random(7))
    for scope in duel.scopes():
        await duel.configure(scope, Config())
    await duel.reserve(ask(duel, 0), ask(duel, 1), ask(duel, 2))
    await asyncio.sleep(0.002)  # what is archived is older than the newest entry's millisecond
    await duel.settle(charge(duel.asks[-1], 30))
    await duel.archive(3)
    await duel.check()


async def holds_and_refusals(duel: Duel) -> None:
    key, org = duel.scopes()[3], duel.scopes()[0]
    await duel.configure(key, Config(limit=500))
    first = ask(duel, 0)  # 200 nano-USD
    await duel.reserve(first, first, replace(first, fingerprint="other"))
    await duel.reserve(*(ask(duel, 0, caller_ms=duel.now + skew) for skew in (2_001, 2_000)))
    await duel.check()
    await duel.reserve(ask(duel, 0), ask(duel, 0, bound=Bound(100_000, 0), output=0, least=0))
    await duel.reserve(ask(duel, 0, bound=Bound(1_000, 0), output=0, least=0))
    await duel.check()
    await duel.configure(key, Config())
    await duel.configure(org, Config(limit=777))
    for fixed, price in ((1_500, 1_300), (100, 7), (0, 999), (40_001, 3_333)):
        tight = ask(duel, 1, bound=Bound(fixed, price), output=60, least=1)
        await duel.reserve(replace(tight, bound=Bound(fixed, price * 10)), tight)
        await duel.check()
    # 7 nano-USD at 35 pico-USD a token are 200 tokens; in doubles 7 / 0.035 is a little less.
    for small, wide in ((key, org), (org, key)):
        await duel.configure(small, Config(limit=100))
        await duel.configure(wide, Config(limit=250))
        await duel.reserve(ask(duel, 0))
    await duel.configure(key, Config())
    used = sum(duel.model.tally.used(org, duel.model.months[duel.org]))
    await duel.configure(org, Config(limit=used + 7))
    await duel.reserve(ask(duel, 0, bound=Bound(0, 35), output=500, least=200))
    used = sum(duel.model.tally.used(org, duel.model.months[duel.org]))
    await duel.configure(org, Config(limit=used + 300))
    await duel.reserve(ask(duel, 0), ask(duel, 0), ask(duel, 2))  # 200 nano-USD each
    await duel.configure(org, Config())


async def extensions(duel: Duel) -> None:
    made = ask(duel, 2)
    await duel.reserve(made)
    await duel.clock(duel.now + 20_000)
    await duel.checkpoint(note(made, 150), note(made, 120), note(made, 0, want=50))
    await duel.check()
    user = ("user", duel.org, made.owner.user)
    await duel.configure(user, Config(limit=300))
    await duel.checkpoint(note(made, 0, want=90))
    await duel.checkpoint(note(made, 0, want=91), note(ask(duel, 2), 5))
    await duel.check()
    await duel.configure(user, Config(status="suspended"))
    await duel.checkpoint(note(made, 0, want=91))
    await duel.configure(user, Config())
    first = duel.owners[0]
    for owner in (first, made.owner._replace(key=first.key), made.owner._replace(user=first.user)):
        await duel.checkpoint(note(made, 160, owner=owner))
    await duel.check()
    await duel.clock(duel.now + 29_999)
    await duel.expire()
    await duel.check()
    await duel.clock(duel.now + 1)
    await duel.expire()
    await duel.check()


async def settles(duel: Duel) -> None:
    odd = [ask(duel, 0), ask(duel, 1)]
    await duel.reserve(*odd)
    await duel.checkpoint(note(odd[1], 0, want=60))
    await duel.settle(*(charge(one, 240, flags="anomaly", held=200) for one in odd))
    await duel.settle(charge(ask(duel, 2), 240, flags="estimated,anomaly", held=200))
    made = [ask(duel, who) for who in (0, 1, 2, 0, 1, 2)]
    await duel.reserve(*made)
    await duel.settle(charge(made[0], 150), charge(made[0], 160), charge(made[1], 30, "release"))
    await duel.settle(charge(made[2], 900), charge(made[3], 5, fingerprint="other"))
    await duel.settle(charge(replace(made[3], owner=made[1].owner), 5))
    await duel.settle(charge(made[3], 70, grace=True))
    await duel.check()
    await duel.checkpoint(note(made[4], 1_000), note(made[5], 133))
    await duel.clock(duel.now + 30_000)
    await duel.expire()
    await duel.check()
    await duel.settle(charge(made[4], 120), charge(made[5], 11, grace=True))
    await duel.settle(charge(made[4], 120))
    await duel.check()
    late = [ask(duel, who) for who in (0, 1, 2)]
    await duel.reserve(*late)
    await duel.clock(duel.now + 86_400_000)
    await duel.expire()
    await duel.checkpoint(*(note(one, 500, want=90) for one in late))
    await duel.settle(charge(late[0], 77, "release"), charge(late[1], 44, "expire"))
    await duel.settle(charge(late[1], 44), charge(late[2], 300, flags="anomaly"))
    await duel.check()
    await duel.clock(duel.now + 2 * 3_600_000)
    await duel.settle(charge(late[0], 77), charge(late[1], 44))
    await duel.check()
    minute = 60_000
    for age, grace in (
        (60, False),
        (61, False),
        (61, True),
        (7 * 1440, True),
        (7 * 1440 + 1, True),
    ):
        lost = ask(duel, 0, caller_ms=duel.now - age * minute)
        await duel.settle(charge(lost, 33, grace=grace, held=30))
        await duel.settle(charge(lost, 33, grace=grace))
    await duel.settle(charge(ask(duel, 1), 0, "release"))
    await duel.check()


async def statuses_and_models(duel: Duel) -> None:
    for scope in (duel.scopes()[i] for i in (0, 1, 3)):
        for config in (
            None,
            Config(status="suspended"),
            Config(expires=duel.now),
            Config(expires=duel.now + 1),
            Config(models="openai/* simulator/ech"),
            Config(models="*/echo"),
            Config(models="sim*e*o"),
            Config(models="simulator/*x echoo"),
        ):
            await duel.configure(scope, config)
            await duel.reserve(ask(duel, 0))
        await duel.configure(scope, Config())
    await duel.check()


async def rates(duel: Duel) -> None:
    for scope in (duel.scopes()[i] for i in (0, 2, 5)):
        for config in (Config(rpm=2), Config(tpm=130), Config(concurrency=2), Config(rpm=0)):
            await duel.configure(scope, config)
            await duel.clock(duel.now + 120_000)
            await duel.expire()
            made = [ask(duel, 2) for _ in range(4)]
            await duel.reserve(*made)
            await duel.clock(duel.now + 9_000)
            await duel.reserve(*made, ask(duel, 2))
            await duel.settle(*(charge(one, 10) for one in made[:2]))
            await duel.reserve(ask(duel, 2, rated=500))
            await duel.clock(duel.now + 26_000)
            await duel.reserve(ask(duel, 2, rated=500), ask(duel, 2))
            await duel.check()
        await duel.configure(scope, Config())
    org, key = duel.scopes()[0], duel.scopes()[5]
    await duel.configure(org, Config(rpm=9, tpm=600))
    await duel.configure(key, Config(rpm=3, tpm=900))
    await duel.clock(duel.now + 120_000)
    made = [ask(duel, 2, rated=400), ask(duel, 2, rated=100)]
    await duel.reserve(*made)
    await duel.clock(duel.now - 1_500)
    await duel.reserve(ask(duel, 2, rated=90))
    await duel.clock(duel.now + 1_500)
    await duel.reserve(ask(duel, 2, rated=20), ask(duel, 2, rated=10))
    await duel.clock(duel.now + 57_000)
    await duel.settle(*(charge(one, 10) for one in made))  # fewer tokens than have leaked since
    await duel.reserve(ask(duel, 2, rated=600))
    for scope in (org, key):
        await duel.configure(scope, Config())
    await duel.check()


async def months(duel: Duel) -> None:
    open_month = duel.model.months[duel.org]
    while open_month < "2028-04":
        before, after = ask(duel, 0), ask(duel, 0)
        await duel.reserve(before)
        await duel.clock(next_start_ms(open_month) - 1)
        await duel.reserve(ask(duel, 1))
        await duel.clock(next_start_ms(open_month))
        await duel.reserve(replace(after, caller_ms=duel.now))
        await duel.reset(before.owner.user)
        await duel.settle(charge(before, 60))
        await duel.settle(charge(after, 60))
        await duel.clock(duel.now - 1_000)
        await duel.reserve(ask(duel, 1))
        await duel.check()
        open_month = duel.model.months[duel.org]
        duel.now += 5 * 86_400_000 if open_month.endswith("-02") else 0
        await duel.clock(duel.now)
    today = duel.now
    await duel.clock(next_start_ms(open_month) + 60_000)
    await duel.reserve(ask(duel, 0, caller_ms=today))
    await duel.reset(duel.owners[0].user)
    await duel.clock(today)
    await duel.reserve(ask(duel, 0))
    user = ("user", duel.org, duel.owners[0].user)
    await duel.configure(user, Config(limit=500))
    for _ in range(2):
        made = [ask(duel, who) for who in (0, 1, 0)]
        await duel.reserve(*made)
        await duel.settle(*(charge(one, 200) for one in made))
        await duel.reset(duel.owners[0].user)
    await duel.check()
    await duel.configure(user, Config())


async def exchanges(duel: Duel) -> None:
    """Of the same key, another of the user, another user; within limits; as a month ends."""
    made = [ask(duel, who) for who in (0, 1, 2, 2, 0)]
    await duel.reserve(*made)
    await duel.exchange([charge(made[0], 150)], [ask(duel, 0)])
    await duel.exchange([charge(made[1], 170), charge(made[2], 20, "release")], [ask(duel, 0)])
    await duel.check()
    org, user, key = duel.scopes()[0], duel.scopes()[2], duel.scopes()[5]
    for scope in (key, user, org):
        other = ask(duel, 0)
        await duel.reserve(other)
        spent, held = duel.model.tally.used(scope, duel.model.months[duel.org])
        await duel.configure(scope, Config(limit=spent + held, concurrency=9, tpm=600, rpm=90))
        one, two = ask(duel, 2, output=20, least=0), ask(duel, 2)
        await duel.exchange([charge(made[3], 30)], [one, two])  # 170 are free, one takes 150
        settled = [charge(one, 70), charge(one, 70), charge(other, 9)]
        made[3] = ask(duel, 2, output=0, least=0)
        await duel.exchange(settled, [two, made[3]])  # 100 are free, and no more
        await duel.check()
        await duel.configure(scope, Config())
    late = ask(duel, 2)
    await duel.reserve(late)
    await duel.configure(org, Config(tpm=900))
    await duel.clock(next_start_ms(duel.model.months[duel.org]))
    await duel.exchange([charge(made[4], 90)], [ask(duel, 0), ask(duel, 1)])
    await duel.check()
    await duel.exchange([charge(late, 200), charge(duel.asks[-1], 60)], [ask(duel, 2)])
    await duel.configure(org, Config())
    await duel.check()


async def shares(duel: Duel) -> None:
    """Of a fail-open budget of 100, by edge and day."""
    noon, day_ms = duel.now // 86_400_000 * 86_400_000 + 12 * 3_600_000, 86_400_000
    org, store = keys.org_config(duel.org), duel.store
    await duel.clock(noon)

    async def told(*edges: str, least: int = 1, ahead: int = 0) -> list[int | None]:
        day = day_of(duel.now + ahead)
        return [await store.share(duel.org, edge, least, day) for edge in edges]

    assert await told("a") == [None], "it fails closed"
    await duel.kv.hset(org, mapping={"failure_mode": "fail-open", "fallback_daily": "100"})
    assert await told("a", "b", "c") == [0, 0, 0]
    assert await told("a", "b", "c", "a") == [33, 33, 33, 33]
    assert await told("d", "d") == [0, 1]
    assert await told("a", ahead=day_ms) == [None]
    await duel.clock(noon + 6 * 3_600_000)
    assert await told("a", "b", ahead=6 * 3_600_000) == [25, 25], "tomorrow, with c and d"
    await duel.clock(noon + day_ms)
    assert await told("a", "new", "new") == [25, 0, 25]
    for edge, spent, at, free in (
        ("b", 0, duel.now - 2_001, 0),
        ("b", 0, duel.now - 2_000, 25),
        ("b", 0, duel.now, 0),
        ("new", 5, duel.now, 20),
        ("new", 4, duel.now, 1),
        ("new", 4, duel.now, 0),
        ("new", 9, duel.now, 0),
    ):
        day = day_of(duel.now)
        assert await store.give_back(duel.org, edge, day, spent, at) == free
    assert await told("b", "e", "e", "f", "f", "new") == [25, 0, 25, 0, 20, 5]
    await duel.kv.hset(org, "fallback_daily", 50)
    assert await told("a", "b", "e", "f", "new") == [10, 10, 10, 10, 5]
    await duel.kv.hset(org, "status", "suspended")
    assert await told("a") == [None]
    await duel.configure(("org", duel.org), Config())


async def gamble(duel: Duel, dice: random.Random) -> None:
    for _ in range(100):
        scope = dice.choice(duel.scopes())
        choice = dice.randrange(6)
        if choice == 0:
            await duel.configure(scope, Config(limit=dice.randrange(3_000)))
        elif choice == 1:
            await duel.clock(duel.now + dice.choice([1, 500, 20_000, 31_000, 4_000_000]))
            await duel.expire()
        made = [
            ask(
                duel,
                dice.randrange(3),
                id=name("rsv"),
                bound=Bound(dice.randrange(200_000), dice.randrange(5_000)),
                output=dice.randrange(30, 60),
                least=dice.randrange(30),
            )
            for _ in range(dice.randrange(1, 4))
        ]
        await duel.reserve(*made)
        picked = dice.choice(duel.asks or made)
        await duel.checkpoint(note(picked, dice.randrange(300), dice.randrange(90)))
        kind = dice.choice(["charge", "charge", "release"])
        await duel.settle(charge(dice.choice(duel.asks or made), dice.randrange(400), kind))
        if dice.random() < 0.2:
            await duel.check()
    await duel.check()


async def test_the_story_is_true_of_the_scripts_as_they_are(clocked: World) -> None:
    await story(Duel(clocked, scripts.load(clock=TEST_CLOCK)))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name.replace(" ", "_"))
async def test_a_mistake_is_noticed(clocked: World, mutant: Mutant, tmp_path: Path) -> None:
    duel = Duel(clocked, mutate(mutant, tmp_path / "scripts"))
    with pytest.raises(AssertionError):
        await story(duel)
