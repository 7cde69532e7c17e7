"""Fail-open spending: the sum of what runs and what was used never exceeds the share."""

import random
from pathlib import Path

import pytest

from gateway.quota.v1.quota_pb2 import (
    SETTLE_OUTCOME_CHARGED,
    GraceShare,
    ModelPrice,
    Owner,
    ReserveItem,
    SettleItem,
    TokenUsage,
)
from services.edge import grace_file
from services.edge.grace_book import GraceBook, day_of
from services.edge.journal import now_ms

NOON = 1_795_435_200_000
DAY = 86_400_000
SEED = 20261123


def share(nano: int, *, at: int = NOON, org: str = "org_a") -> GraceShare:
    end = (at // DAY + 1) * DAY
    return GraceShare(org_id=org, day=day_of(at), share_nano_usd=nano, expire_time_ms=end)


def told(book: GraceBook, nano: int, *, at: int = NOON, org: str = "org_a") -> None:
    price = ModelPrice(
        model="m/m",
        input_price_pico_usd=1_000,
        output_price_pico_usd=3_000,
        request_price_pico_usd=500,
    )
    book.hear([org], [share(nano, at=at, org=org)], [price])


def item(
    rid: str, *, inputs: int = 10, output: int = 100, least: int = 100, org: str = "org_a"
) -> ReserveItem:
    return ReserveItem(
        reservation_id=rid,
        owner=Owner(org_id=org, user_id="u", key_id="k"),
        model="m/m",
        bound=TokenUsage(input_tokens=inputs, output_tokens=output),
        min_output_tokens=least,
    )


def settled(rid: str, inputs: int, output: int) -> SettleItem:
    return SettleItem(
        reservation_id=rid,
        model="m/m",
        outcome=SETTLE_OUTCOME_CHARGED,
        usage=TokenUsage(input_tokens=inputs, output_tokens=output),
    )


@pytest.fixture
def book() -> GraceBook:
    return GraceBook()


def admit(book: GraceBook, one: ReserveItem, now: int = NOON) -> bool:
    return book.admit(one, SettleItem(reservation_id=one.reservation_id), now) is not None


def test_a_hold_is_the_dearest_cost_rounded_up(book: GraceBook) -> None:
    told(book, 311)
    assert admit(book, item("r1"))
    assert book.open["r1"].held == 311  # 10 x 1 + 100 x 3 + 0.5, rounded up
    assert book.left("org_a", NOON) == 0
    assert not admit(book, item("r2", inputs=0, output=1, least=1))


def test_one_nano_too_little_is_too_little(book: GraceBook) -> None:
    told(book, 310)
    assert not admit(book, item("r1"))
    grant = book.admit(item("r1", least=1), SettleItem(), NOON)
    assert grant is not None and grant.output_tokens == 99


def test_what_was_not_used_can_be_spent_again_and_what_was_used_cannot(book: GraceBook) -> None:
    told(book, 400)
    assert admit(book, item("r1"))
    assert not admit(book, item("r2"))
    assert book.close(settled("r1", 10, 20), billed=True)
    assert book.left("org_a", NOON) == 400 - 71
    assert not book.close(settled("r1", 10, 20), billed=True), "only once"
    assert admit(book, item("r2"))


@pytest.mark.parametrize("now", [NOON + DAY, NOON - DAY, (NOON // DAY + 1) * DAY])
def test_a_share_is_for_its_own_day(book: GraceBook, now: int) -> None:
    told(book, 10_000)
    assert not admit(book, item("r1"), now)


def test_before_midnight_todays_share_and_tomorrows_pay_each_for_its_own_day(
    book: GraceBook, tmp_path: Path
) -> None:
    told(book, 400)
    both = [share(400), share(700, at=NOON + DAY)]
    assert book.hear(["org_a"], both, [])
    assert not book.hear(["org_a"], both, [])
    grace_file.replace(tmp_path / grace_file.NAME, book.dump())
    book = grace_file.load(tmp_path)
    assert [book.left("org_a", NOON + day * DAY) for day in (0, 1, 2)] == [400, 700, 0]
    assert admit(book, item("r1")), "an outage that begins before midnight"
    assert admit(book, item("r2"), NOON + DAY), "and is not over after it"
    assert [book.left("org_a", NOON + day * DAY) for day in (0, 1)] == [89, 389]
    assert book.extend("r1", "m/m", item("r1").bound, 120) == (120, 371)


def test_an_organisation_the_ledger_names_no_more_has_nothing(book: GraceBook) -> None:
    told(book, 10_000)
    book.hear(["org_a"], [], [])
    assert not admit(book, item("r1"))


def test_a_model_without_a_price_is_not_admitted(book: GraceBook) -> None:
    told(book, 10_000)
    unpriced = item("r1")
    unpriced.model = "m/unknown"
    assert not admit(book, unpriced)


def test_an_extension_ends_with_the_share(book: GraceBook) -> None:
    told(book, 1_000)
    assert admit(book, item("r1"))
    output, held = book.extend("r1", "m/m", item("r1").bound, 200)
    assert (output, held) == (200, 611)
    output, held = book.extend("r1", "m/m", item("r1").bound, 10_000)
    assert (output, held) == (329, 998)
    assert book.left("org_a", NOON) == 2


def test_random_lives_never_exceed_the_share_and_survive_every_crash(
    book: GraceBook, tmp_path: Path
) -> None:
    chosen = random.Random(SEED)
    told(book, 20_000)
    running: dict[str, ReserveItem] = {}
    for step in range(3_000):
        if running and chosen.random() < 0.5:
            rid, one = running.popitem()
            used = chosen.randint(0, one.bound.output_tokens)
            book.close(settled(rid, one.bound.input_tokens, used), billed=chosen.random() < 0.9)
        else:
            output = chosen.randint(1, 200)
            one = item(f"r{step}", inputs=chosen.randint(0, 50), output=output, least=output)
            if admit(book, one):
                running[one.reservation_id] = one
        assert 0 <= book.used("org_a", day_of(NOON)) <= 20_000
        if step % 100 == 0:
            left = book.left("org_a", NOON)
            grace_file.replace(tmp_path / grace_file.NAME, book.dump())
            book = grace_file.load(tmp_path)
            assert book.left("org_a", NOON) == left
    assert book.left("org_a", NOON) < 2_000, "the share was put to use"


def test_a_file_that_is_damaged_gives_nothing_away(tmp_path: Path) -> None:
    (tmp_path / grace_file.NAME).write_bytes(b'{"shares": {"org_a"')
    book, now = grace_file.load(tmp_path), now_ms()
    told(book, 10_000, at=now)
    assert book.left("org_a", now) == 0, "what was spent before is not known"
    tomorrow = now + DAY
    told(book, 10_000, at=tomorrow)
    assert book.left("org_a", tomorrow) == 10_000


def test_yesterday_is_forgotten_and_today_is_not(book: GraceBook) -> None:
    told(book, 1_000)
    assert admit(book, item("r1"))
    book.close(settled("r1", 10, 100), billed=True)
    book.tidy(NOON)
    assert book.used("org_a", day_of(NOON)) == 311
    book.tidy(NOON + DAY)
    assert book.spent == {}
