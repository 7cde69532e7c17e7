"""The month of the ledger, with a clock that is in the test's hand."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.common import keys
from services.quota import months, scripts
from services.quota.door import Door
from services.quota.items import Granted, Refused
from services.quota.rules import Config
from tests.quota.duel import Duel, ask, charge
from tests.quota.world import CLOCK_KEY, TEST_CLOCK, name, world


def boundaries() -> list[datetime]:
    """The start of each month of a century: leap Februaries, and 2100, which has none."""
    return [datetime(2026 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(1_200)]


async def test_each_of_1200_months_ends_in_its_last_millisecond(kv_url: str) -> None:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        org, lua, door = name("org"), scripts.load(clock=TEST_CLOCK), Door(made.kv, timeout=5)
        names = [keys.user_quota(org, "user_1"), keys.org_quota(org)]
        for start in boundaries():
            before = start - timedelta(days=1)
            ms = int(start.timestamp()) * 1000
            for at, day in ((ms - 1, before), (ms, start), (ms + 86_399_999, start)):
                await made.kv.set(CLOCK_KEY, at)
                month, _, _ = await door.run(lua.forgivable, names, [])
                assert month == day.strftime("%Y-%m") == months.month_of(at)


async def test_a_clock_that_steps_back_does_not_reopen_a_month(kv_url: str) -> None:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        duel = Duel(made, scripts.load(clock=TEST_CLOCK))
        await duel.begin()
        await duel.configure(("org", duel.org), Config(limit=200))
        november = months.next_start_ms("2026-10")
        await duel.clock(november)
        [granted] = await duel.reserve(ask(duel, 0))
        assert isinstance(granted, Granted) and granted.month == "2026-11"
        await duel.clock(november - 1)
        [refused] = await duel.reserve(ask(duel, 0))
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.month) == ("BUDGET_HELD", "2026-11")
        await duel.check()


async def test_a_clock_that_jumps_ahead_on_its_own_begins_no_month(kv_url: str) -> None:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        duel = Duel(made, scripts.load(clock=TEST_CLOCK))
        await duel.begin()
        await duel.configure(("org", duel.org), Config(limit=200))
        made_before = ask(duel, 0)
        [granted] = await duel.reserve(made_before)
        await duel.settle(charge(made_before, 200))
        before = duel.now
        await duel.clock(months.next_start_ms("2026-11") + 5_000)
        [skewed] = await duel.reserve(ask(duel, 0, caller_ms=before))
        assert isinstance(skewed, Refused) and skewed.reason == "CLOCK_SKEW"
        await duel.reset(duel.owners[2].user)
        await duel.clock(before)
        [refused] = await duel.reserve(ask(duel, 0))
        assert isinstance(granted, Granted) and isinstance(refused, Refused)
        assert (refused.reason, refused.month) == ("BUDGET_EXHAUSTED", granted.month)


async def test_a_request_over_midnight_is_paid_by_the_month_that_admitted_it(kv_url: str) -> None:
    async with world(kv_url, clock=TEST_CLOCK) as made:
        duel = Duel(made, scripts.load(clock=TEST_CLOCK))
        await duel.begin()
        await duel.configure(("org", duel.org), Config(limit=200))
        old = ask(duel, 0)
        await duel.reserve(old)
        await duel.clock(months.next_start_ms("2026-10"))
        [granted] = await duel.reserve(ask(duel, 0))
        assert isinstance(granted, Granted), "the old hold does not weigh on the new month"
        [settled] = await duel.settle(charge(old, 180))
        assert (settled.month, settled.charged) == ("2026-10", 180)
        await duel.check()


@given(st.integers(0, 4_000_000_000_000))
def test_months_of_python_agree_with_their_own_arithmetic(ms: int) -> None:
    month = months.month_of(ms)
    assert months.is_month(month)
    end = months.next_start_ms(month)
    assert ms < end <= ms + 31 * 86_400_000
    assert months.number(months.month_of(end)) == months.number(month) + 1
    assert months.month_of(end - 1) == month
    day = months.day_of(ms)
    assert day.startswith(month)
    assert months.day_end_ms(day) - 86_400_000 <= ms < months.day_end_ms(day)
    assert months.day_of(months.day_end_ms(months.day_before(day))) == day
