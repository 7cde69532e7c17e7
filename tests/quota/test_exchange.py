"""An exchange is a settle and then a reserve: the same work, asked for both ways, ends the same."""

import random
from dataclasses import replace
from typing import Any

import pytest

from services.common import keys
from services.common.errors import Internal
from services.quota.items import Granted, Owner, Reserve, Settle
from services.quota.months import month_of, next_start_ms
from services.quota.pricing import Bound, Tokens
from tests.quota.duel import START
from tests.quota.world import CLOCK_KEY, TEST_CLOCK, World, name, quota_keys, reserve, settle, world

WIDE = (0, 0, 0, 2**52 - 300, 2**52 - 1, 2**53 - 1, 2**53 + 1)
"""What an organisation begins with: around what is written as a double, and beyond."""


class Twin:
    """One of two organisations with the same users and keys."""

    def __init__(self, ledger: World, owners: list[Owner]) -> None:
        self.ledger, self.owners, self.org = ledger, owners, owners[0].org

    def of(self, item: Any) -> Any:
        return replace(item, owner=item.owner._replace(org=self.org))

    async def books(self) -> dict[str, Any]:
        """All keys of the organisation, without its id; what is zero is as if it were not there."""
        kv, found = self.ledger.kv, dict[str, Any]()
        async for key in kv.scan_iter(f"*{{{self.org}}}*"):
            kind = await kv.type(key)
            value: Any = None
            if kind == "hash":
                value = {k: v for k, v in (await kv.hgetall(key)).items() if v != "0"}
            elif kind == "zset":
                value = [(n, s) for n, s in await kv.zrange(key, 0, -1, withscores=True) if s]
            elif kind == "stream":
                value = [entry for _, entry in await kv.xrange(key)]
            elif kind == "string":
                value = (await kv.get(key), await kv.pttl(key) // 1_000_000)
            if value:
                found[key.replace(self.org, "org")] = value
        return found


async def twins(ledger: World, dice: random.Random) -> tuple[Twin, Twin]:
    users, api_keys = [name("user") for _ in range(2)], [name("key") for _ in range(3)]
    made = []
    spent, held = dice.choice(WIDE), dice.choice(WIDE)
    for _ in range(2):
        org = name("org")
        owners = [Owner(org, users[n // 2], api_keys[n]) for n in range(3)]
        await ledger.write(keys.org_config(org), {"status": "active"})
        for owner in owners:
            await ledger.write(keys.user_config(org, owner.user), {"status": "active"})
            await ledger.write(keys.key_config(org, owner.key), {"status": "active"})
        month = month_of(START)
        wide = {f"{month}:spent": spent, f"{month}:held": held, f"{month}:requests": 3}
        await ledger.write(keys.org_quota(org), {k: str(v) for k, v in wide.items()})
        made.append(Twin(ledger, owners))
    return made[0], made[1]


def asked(dice: random.Random, owner: Owner, now: int) -> Reserve:
    return reserve(
        owner,
        bound=Bound(dice.randrange(300_000), dice.choice((0, 2_500, 7_777))),
        output=dice.randrange(30, 60),
        least=dice.randrange(30),
        rated=dice.choice((0, 40, 90)),
        caller_ms=now + dice.choice((0, 0, 0, 2_001)),
    )


def told(dice: random.Random, made: Reserve, month: str) -> Settle:
    return settle(
        made,
        dice.randrange(500),
        dice.choice(("charge", "charge", "charge", "release", "expire")),
        month=month,
        fingerprint=dice.choice(("f", "f", "f", "", "other")),
        flags=dice.choice(("", "", "anomaly")),
        grace=dice.random() < 0.1,
        tokens=str(Tokens(20, dice.choice((0, 5)), 0, 0, 10, dice.choice((0, 2)), 0, 0)),
    )


async def limit(dice: random.Random, pair: tuple[Twin, Twin]) -> None:
    """Changes what one of the scopes allows, or lifts all its limits."""
    who, scope = dice.randrange(3), dice.randrange(3)
    fields = {
        "limit": str(dice.randrange(3_000)),
        "rpm": str(dice.randrange(8)),
        "tpm": str(dice.randrange(700)),
        "concurrency": str(dice.randrange(9)),
        "models": dice.choice(("openai/*", "sim*")),
    }
    chosen = {k: v for k, v in fields.items() if dice.random() < 0.4}
    for twin in pair:
        org, user, key = twin.owners[who]
        config = (keys.org_config(org), keys.user_config(org, user), keys.key_config(org, key))
        await twin.ledger.kv.hdel(config[scope], *fields)
        await twin.ledger.write(config[scope], {"status": "active", **chosen})


@pytest.mark.parametrize("chosen", range(8))
async def test_an_exchange_is_a_settle_and_then_a_reserve(kv_url: str, chosen: int) -> None:
    dice = random.Random(chosen)
    async with world(kv_url, clock=TEST_CLOCK) as ledger:
        apart, joined = await twins(ledger, dice)
        now, known, months = START, list[Reserve](), dict[str, str]()
        for turn in range(60):
            await ledger.kv.set(CLOCK_KEY, now)
            batch = [
                asked(dice, dice.choice(apart.owners), now) for _ in range(dice.choice((1, 1, 3)))
            ]
            if known and dice.random() < 0.1:
                batch.append(replace(dice.choice(known), caller_ms=now))
            picked = [dice.choice((known or batch)[-8:]) for _ in range(dice.choice((1, 1, 3)))]
            booking = [
                told(dice, one, months.get(one.id, month_of(one.caller_ms))) for one in picked
            ]
            booked = await apart.ledger.store.settle(booking)
            admitted = await apart.ledger.store.reserve(batch)
            found = await joined.ledger.store.settle_and_reserve(
                [joined.of(one) for one in booking], [joined.of(one) for one in batch]
            )
            assert found == (booked, admitted)
            if turn % 4 == 3:
                assert await joined.books() == await apart.books()
            known += batch
            months |= {one.id: got.month for one, got in zip(batch, admitted, strict=True)}
            if dice.random() < 0.15:
                await limit(dice, (apart, joined))
            now += dice.choice((1, 1, 500, 31_000))
            if dice.random() < 0.05:
                now = max(now, next_start_ms(month_of(now)) + dice.choice((-1, 0, 1)))


async def test_what_is_settled_stands_where_the_reserve_behind_it_stumbles(ledger: World) -> None:
    owner = await ledger.owner()
    first, broken = reserve(owner, 900), await ledger.owner(org=owner.org)
    await ledger.store.reserve([first])
    await ledger.kv.hset(keys.key_config(owner.org, broken.key), "limit", "much")
    with pytest.raises(Internal):
        await ledger.store.settle_and_reserve(
            [settle(first, 40)], [reserve(owner, 7), reserve(broken)]
        )
    month = month_of(first.caller_ms)
    counters = await ledger.counters(owner, month)
    counted = {"spent": 40, "held": 7, "requests": 1, "input_tokens": 7, "output_tokens": 3}
    assert counters == dict.fromkeys(("key", "user", "org"), counted)
    assert await ledger.kv.hget(quota_keys(owner)["org"], "running") == "1"


async def test_a_hold_that_cannot_be_read_does_not_keep_others_from_reserving(
    ledger: World,
) -> None:
    owner = await ledger.owner()
    first, second = reserve(owner), reserve(owner)
    await ledger.kv.set(keys.hold(owner.org, first.id), "reserved")
    booked, admitted = await ledger.store.settle_and_reserve([settle(first, 40)], [second])
    assert booked is None
    assert isinstance(admitted[0], Granted)
