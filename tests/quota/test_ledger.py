"""The ledger's scripts, one rule at a time."""

from services.common import keys
from services.quota.items import Granted, Refused
from services.quota.months import month_of
from services.quota.pricing import Bound
from tests.quota.world import USD, World, now_ms, quota_keys, reserve, settle


async def test_a_hold_becomes_the_real_cost_for_key_user_and_organisation(ledger: World) -> None:
    owner = await ledger.owner(org_limit=10 * USD)
    ask = reserve(owner, 4 * USD)
    [granted] = await ledger.store.reserve([ask])
    assert isinstance(granted, Granted)
    assert (granted.held, granted.state, granted.duplicate) == (4 * USD, "reserved", False)
    counters = await ledger.counters(owner, granted.month)
    assert all(c == {"held": 4 * USD} for c in counters.values())
    [settled] = await ledger.store.settle([settle(ask, 3 * USD)])
    assert (settled.code, settled.state, settled.charged) == ("OK", "settled", 3 * USD)
    counters = await ledger.counters(owner, granted.month)
    spent = {"spent": 3 * USD, "requests": 1, "input_tokens": 7, "output_tokens": 3}
    assert all(c == spent for c in counters.values())


async def test_a_repeated_settle_answers_with_the_first_outcome(ledger: World) -> None:
    owner = await ledger.owner()
    ask = reserve(owner)
    await ledger.store.reserve([ask])
    await ledger.store.settle([settle(ask, 5)])
    [again] = await ledger.store.settle([settle(ask, 7)])
    assert (again.code, again.charged) == ("DUP", 5)
    [released] = await ledger.store.settle([settle(ask, 0, "release")])
    assert (released.code, released.state) == ("DUP", "settled")


async def test_budget_that_is_only_held_is_told_apart_from_one_that_is_gone(ledger: World) -> None:
    owner = await ledger.owner(org_limit=10 * USD)
    first = reserve(owner, 6 * USD)
    await ledger.store.reserve([first])
    [held] = await ledger.store.reserve([reserve(owner, 6 * USD)])
    assert isinstance(held, Refused)
    assert (held.reason, held.scope, held.held) == ("BUDGET_HELD", "org", 6 * USD)
    await ledger.store.settle([settle(first, 6 * USD)])
    [gone] = await ledger.store.reserve([reserve(owner, 6 * USD)])
    assert isinstance(gone, Refused)
    assert (gone.reason, gone.spent, gone.limit) == ("BUDGET_EXHAUSTED", 6 * USD, 10 * USD)


async def test_an_uncapped_request_gets_the_output_that_is_affordable(ledger: World) -> None:
    owner = await ledger.owner(org_limit=1_000)
    ask = reserve(owner, bound=Bound(fixed=100_500, output=7_300), output=1_000, least=10)
    [granted] = await ledger.store.reserve([ask])
    assert isinstance(granted, Granted)
    assert granted.output == (1_000_000 - 100_500) // 7_300
    assert granted.held == -(-(100_500 + granted.output * 7_300) // 1000) <= 1_000


async def test_a_deleted_organisation_still_books(ledger: World) -> None:
    owner = await ledger.owner()
    ask = reserve(owner)
    await ledger.store.reserve([ask])
    await ledger.kv.delete(keys.org_config(owner.org), keys.key_config(owner.org, owner.key))
    [settled] = await ledger.store.settle([settle(ask, 42)])
    assert settled.charged == 42
    counters = await ledger.counters(owner, month_of(now_ms()))
    assert counters["org"]["spent"] == 42


async def test_counters_beyond_what_a_double_holds_stay_exact(ledger: World) -> None:
    owner = await ledger.owner(user_limit=None)
    await ledger.kv.hdel(keys.org_config(owner.org), "limit")
    month, much = month_of(now_ms()), 2**53 + 1
    fields = {f"{month}:spent": much, f"{month}:held": much, "running": 7}
    await ledger.kv.hset(keys.org_quota(owner.org), mapping=fields)
    asks = [reserve(owner, 3), reserve(owner, 5)]
    await ledger.store.reserve(asks)
    found = await ledger.kv.hgetall(keys.org_quota(owner.org))
    assert (found[f"{month}:held"], found["running"]) == (str(much + 8), "9")
    await ledger.store.settle([settle(ask, 1) for ask in asks])
    found = await ledger.kv.hgetall(keys.org_quota(owner.org))
    told = [found[f"{month}:{name}"] for name in ("spent", "held", "requests")]
    assert (*told, found["running"]) == (str(much + 2), str(much), "2", "7")


async def test_a_hold_of_an_earlier_version_is_settled_as_it_was_made(ledger: World) -> None:
    owner = await ledger.owner(tpm="1000")
    month, at = month_of(now_ms()), now_ms()
    head = f"f\t{owner.user}\t{owner.key}\t{month}\t{at}"
    hold, member = keys.hold(owner.org, "rsv_1"), f"rsv_1 {owner.user} {owner.key}"
    text = f"reserved\t{head}\t900\t40\t0\t100\t7 0 0 0 0 0 0 0\t60\tsimulator/echo\tchat\treq_1"
    await ledger.kv.set(hold, text)
    await ledger.kv.zadd(keys.holds(owner.org), {member: at + 30_000})
    held = {f"{month}:held": 900, "running": 1}
    for key in quota_keys(owner).values():
        await ledger.kv.hset(key, mapping=held)
    await ledger.kv.hset(keys.org_quota(owner.org), "rate:tokens", f"{60 * 60_000} {at}")
    ask = reserve(owner, id="rsv_1", caller_ms=at)
    [again] = await ledger.store.reserve([ask])
    assert isinstance(again, Granted)
    assert (again.held, again.output, again.admit_ms, again.duplicate) == (900, 40, at, True)
    assert [settled.charged for settled in await ledger.store.settle([settle(ask, 500)])] == [500]
    spent = {"spent": 500, "requests": 1, "input_tokens": 7, "output_tokens": 3}
    assert all(c == spent for c in (await ledger.counters(owner, month)).values())
    assert await ledger.kv.hget(keys.org_quota(owner.org), "rate:tokens") == f"{10 * 60_000} {at}"
    text = f"settled\t{head}\t900\t40\t500\t100\t7 0 0 0 3 0 0 0\t60\tsimulator/echo\tchat\treq_1"
    assert await ledger.kv.get(hold) == text
    assert await ledger.kv.zcard(keys.holds(owner.org)) == 0


async def test_settles_and_reserves_in_one_call_see_what_went_before_them(ledger: World) -> None:
    owner = await ledger.owner(org_limit=10 * USD)
    first, second = reserve(owner, 6 * USD), reserve(owner, 6 * USD)
    await ledger.store.reserve([first])
    asks = [first, second, second, reserve(owner, 6 * USD)]
    booked, admitted = await ledger.store.settle_and_reserve([settle(first, 2 * USD)], asks)
    assert booked is not None
    assert [(one.code, one.charged) for one in booked] == [("OK", 2 * USD)]
    *granted, refused = admitted
    told = [(one.state, one.duplicate) for one in granted if isinstance(one, Granted)]
    assert told == [("settled", True), ("reserved", False), ("reserved", True)]
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.spent, refused.held) == ("BUDGET_HELD", 2 * USD, 6 * USD)
