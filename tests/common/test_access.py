"""Guessing is slowed, and told once for each burst."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.access import MAX_FAILURES, Access
from services.common.errors import Exhausted, Unauthenticated

WRONG = {"authorization": "Bearer wrong"}
ADMIN = {"authorization": "Bearer " + "a" * 40}
SERVICE = {"authorization": "Bearer " + "s" * 40}


class Door:
    """An Access, its clock, and the bursts it told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[tuple[str, int]] = []
        nobody: Any = None
        self.access = Access(
            nobody,
            admin_key="a" * 40,
            service_token="s" * 40,
            on_burst=self._burst,
            clock=lambda: self.now,
        )

    async def _burst(self, peer: str, failures: int) -> None:
        self.told.append((peer, failures))

    async def guess(self, times: int, peer: str = "ipv4:192.0.2.1:1000") -> None:
        for _ in range(times):
            with pytest.raises((Unauthenticated, Exhausted)):
                await self.access.identify(WRONG, peer)


async def test_a_peer_is_told_by_its_address_not_its_port() -> None:
    door = Door()
    for port in range(MAX_FAILURES):
        await door.guess(1, f"ipv4:192.0.2.1:{port}")
    with pytest.raises(Exhausted):
        await door.access.identify(ADMIN, "ipv4:192.0.2.1:9999")
    assert (await door.access.identify(ADMIN, "ipv4:192.0.2.2:9999")).name == "admin"
    assert door.told == [("ipv4:192.0.2.1", MAX_FAILURES)]


async def test_after_a_quiet_minute_a_peer_may_try_again() -> None:
    door = Door()
    await door.guess(MAX_FAILURES + 3)
    door.now = 60.0
    assert (await door.access.identify(ADMIN, "ipv4:192.0.2.1:1")).name == "admin"


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
