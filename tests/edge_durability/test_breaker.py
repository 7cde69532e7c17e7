"""When nobody waits for the ledger any more, and when everybody does again."""

import pytest

from services.edge.breaker import FAILURES, SLOW_SECONDS, Breaker, NotAsked


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("quota", clock=clock)


def test_one_slow_failure_opens_it_and_quick_ones_only_in_a_row(breaker: Breaker) -> None:
    for _ in range(5):
        for _ in range(FAILURES - 1):
            breaker.failed(0.001)
        breaker.succeeded()
    breaker.check()
    breaker.failed(SLOW_SECONDS)
    with pytest.raises(NotAsked):
        breaker.check()
    breaker.succeeded()
    breaker.check()


def test_silence_is_no_outage_where_others_were_answered_meanwhile(
    breaker: Breaker, clock: Clock
) -> None:
    clock.now += 10
    breaker.succeeded()
    clock.now += 0.5
    breaker.failed(1.0, silent=True)
    breaker.check()
    breaker.failed(0.5, silent=True)
    with pytest.raises(NotAsked):
        breaker.check()


def test_who_says_that_the_ledger_is_away_is_believed(breaker: Breaker, clock: Clock) -> None:
    breaker.succeeded()
    clock.now += 0.1
    breaker.failed(0.2)
    with pytest.raises(NotAsked):
        breaker.check()


def test_busy_or_not_three_silences_in_a_row_open_it(breaker: Breaker, clock: Clock) -> None:
    breaker.succeeded()
    for seconds in (0.4, 0.5, 0.6):
        breaker.check()
        clock.now += 0.1
        breaker.failed(seconds, silent=True)
    with pytest.raises(NotAsked):
        breaker.check()
