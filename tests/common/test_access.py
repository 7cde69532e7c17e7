"""A right key is admitted whoever guesses beside it; guessing is slowed, and told once a burst."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.common import access
from services.common.access import MAX_FAILURES, Access
from services.common.errors import Exhausted, Unauthenticated

WRONG = {"authorization": "Bearer wrong"}
ADMIN = {"authorization": "Bearer " + "a" * 40}
SERVICE = {"authorization": "Bearer " + "s" * 40}


class Door:
    """An Access, its clock, and the bursts it told."""

    def __init__(self, slow_seconds: float = 0.0) -> None:
        self.now = 0.0
        self.told: list[tuple[str, int]] = []
        nobody: Any = None
        self.access = Access(
            nobody,
            admin_key="a" * 40,
            service_token="s" * 40,
            on_burst=self._burst,
            clock=lambda: self.now,
            slow_seconds=slow_seconds,
        )

    async def _burst(self, peer: str, failures: int) -> None:
        self.told.append((peer, failures))

    async def guess(self, times: int, peer: str = "ipv4:192.0.2.1:1000") -> None:
        for _ in range(times):
            with pytest.raises((Unauthenticated, Exhausted)):
                await self.access.identify(WRONG, peer)


PEER = "ipv4:192.0.2.1:1000"
FOREVER = 3_600.0


async def test_a14_a_right_key_is_admitted_from_an_address_that_guesses() -> None:
    door = Door()
    await door.guess(MAX_FAILURES * 3)
    assert (await door.access.identify(ADMIN, PEER)).name == "admin"


async def test_a14_a_wrong_key_after_many_waits_and_holds_nobody_up() -> None:
    door = Door(slow_seconds=FOREVER)
    await door.guess(MAX_FAILURES)
    guesses = [asyncio.create_task(door.access.identify(WRONG, PEER)) for _ in range(20)]
    await asyncio.sleep(0)
    assert (await door.access.identify(ADMIN, PEER)).name == "admin"
    with pytest.raises(Unauthenticated):
        await door.access.identify(WRONG, "ipv4:192.0.2.2:1")
    assert not any(guess.done() for guess in guesses)
    for guess in guesses:
        guess.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


async def test_a14_who_guesses_is_told_for_how_long() -> None:
    door = Door()
    for second in range(MAX_FAILURES):
        door.now = float(second)
        with pytest.raises(Unauthenticated):
            await door.access.identify(WRONG, PEER)
    with pytest.raises(Exhausted) as refused:
        await door.access.identify(WRONG, PEER)
    assert refused.value.reason == "TOO_MANY_ATTEMPTS"
    assert 50_000 < (refused.value.retry_after_ms or 0) <= 60_001


async def test_a14_only_so_many_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_SLOWED", 2)
    door = Door(slow_seconds=FOREVER)
    await door.guess(MAX_FAILURES)
    waiting = [asyncio.create_task(door.access.identify(WRONG, PEER)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted):
        await door.access.identify(WRONG, PEER)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    again = asyncio.create_task(door.access.identify(WRONG, PEER))
    await asyncio.sleep(0)
    assert not again.done()
    for guess in (*waiting, again):
        guess.cancel()
    await asyncio.gather(*waiting, again, return_exceptions=True)


async def test_a_peer_is_told_by_its_address_not_its_port() -> None:
    door = Door()
    for port in range(MAX_FAILURES):
        await door.guess(1, f"ipv4:192.0.2.1:{port}")
    with pytest.raises(Exhausted):
        await door.access.identify(WRONG, "ipv4:192.0.2.1:9999")
    with pytest.raises(Unauthenticated):
        await door.access.identify(WRONG, "ipv4:192.0.2.2:9999")
    assert door.told == [("ipv4:192.0.2.1", MAX_FAILURES)]


async def test_after_a_quiet_minute_a_wrong_key_is_a_first_one_again() -> None:
    door = Door()
    await door.guess(MAX_FAILURES + 3)
    door.now = 60.0
    with pytest.raises(Unauthenticated):
        await door.access.identify(WRONG, PEER)


async def test_a_burst_is_told_once_however_long_it_lasts() -> None:
    door = Door()
    for minute in range(5):
        door.now = minute * 60.0
        await door.guess(MAX_FAILURES + 2)
    assert len(door.told) == 1
    door.now = 1_000.0
    await door.guess(MAX_FAILURES)
    assert len(door.told) == 2


async def test_fewer_failures_are_no_burst() -> None:
    door = Door()
    await door.guess(MAX_FAILURES - 1)
    assert door.told == []


async def test_who_lies_about_the_peer_behind_it_is_counted_itself() -> None:
    door = Door()
    for number in range(MAX_FAILURES):
        with pytest.raises(Unauthenticated):
            lie = {**WRONG, "x-gateway-peer": f"203.0.113.{number}", "x-gateway-service": "no"}
            await door.access.identify(lie, "ipv4:192.0.2.1:1")
    assert door.told == [("ipv4:192.0.2.1", MAX_FAILURES)]
    assert (await door.access.identify(SERVICE, "ipv4:192.0.2.1:1")).service
