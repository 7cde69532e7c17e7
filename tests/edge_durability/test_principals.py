"""Identity in an outage of auth: who was verified lately is known, for a bounded time."""

import asyncio
import time
from typing import Any

import pytest

from services.common.errors import GatewayError, PermissionDenied, Unauthenticated, Unavailable
from services.edge.breaker import FAILURES, PROBE_SECONDS
from services.edge.principal import Principal
from services.edge.principals import (
    PATIENCE_SECONDS,
    POSITIVE_SECONDS,
    RECENT_SECONDS,
    STALE_SECONDS,
    Principals,
)
from tests.waiting import until


class Auth:
    def __init__(self) -> None:
        self.error: GatewayError | None = None
        self.asked = 0
        self.hangs = False

    async def verify(self, key_hash: str) -> Principal:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(5)
        if self.error is not None:
            raise self.error
        return Principal(key_id=key_hash)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def principals(auth: Auth, clock: Clock) -> Principals:
    asked: Any = auth
    return Principals(asked, clock=clock)


async def test_a_key_verified_lately_is_known_while_auth_is_away_and_not_for_ever(
    auth: Auth, clock: Clock, principals: Principals
) -> None:
    await principals.find("k")
    auth.error = Unavailable("away")
    clock.now += POSITIVE_SECONDS * 2
    assert (await principals.find("k")).key_id == "k"
    clock.now += STALE_SECONDS
    with pytest.raises(Unavailable):
        await principals.find("k")


@pytest.mark.parametrize(
    "answer", [Unauthenticated("x", reason="API_KEY_INVALID"), PermissionDenied("suspended")]
)
async def test_what_auth_said_last_counts_not_what_it_said_before(
    auth: Auth, clock: Clock, principals: Principals, answer: GatewayError
) -> None:
    await principals.find("k")
    clock.now += POSITIVE_SECONDS * 2
    auth.error = answer
    with pytest.raises(type(answer)):
        await principals.find("k")
    auth.error = Unavailable("away")
    clock.now += 20
    with pytest.raises(Unavailable):
        await principals.find("k")


async def test_an_unknown_key_is_unavailable_and_never_invalid_or_valid(
    auth: Auth, principals: Principals
) -> None:
    auth.error = Unavailable("away")
    for _ in range(FAILURES * 3):
        with pytest.raises(Unavailable):
            await principals.find("unknown")


async def test_after_some_failures_nobody_waits_for_auth_until_it_is_back(
    auth: Auth, clock: Clock, principals: Principals
) -> None:
    await principals.find("k")
    clock.now += POSITIVE_SECONDS * 2
    auth.error = Unavailable("away")
    for _ in range(50):
        await principals.find("k")
    assert auth.asked <= 1 + FAILURES + 1
    auth.error = None
    clock.now += PROBE_SECONDS * 2
    before = auth.asked
    await principals.find("k")  # answered from memory; the question goes out beside it
    await until(lambda: auth.asked > before)
    assert (await principals.find("new")).key_id == "new"


async def test_who_spends_without_the_ledger_was_verified_seconds_ago(
    auth: Auth, clock: Clock, principals: Principals
) -> None:
    await principals.find("k")
    clock.now += RECENT_SECONDS + 1
    auth.error = Unauthenticated("revoked", reason="API_KEY_INVALID")
    assert (await principals.find("k")).key_id == "k", "the ledger would refuse it"
    with pytest.raises(Unauthenticated):
        await principals.recent("k")


async def test_a_refresh_that_fails_does_not_forget(
    auth: Auth, clock: Clock, principals: Principals
) -> None:
    await principals.find("k")
    auth.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await principals.refresh("k")
    clock.now += POSITIVE_SECONDS * 2
    assert (await principals.find("k")).key_id == "k"


async def test_who_is_known_does_not_wait_for_an_auth_that_hangs(
    auth: Auth, clock: Clock, principals: Principals
) -> None:
    await principals.find("k")
    clock.now += POSITIVE_SECONDS * 2
    auth.hangs = True
    began = time.monotonic()
    assert (await principals.find("k")).key_id == "k"
    assert time.monotonic() - began < 1


async def test_nobody_waits_behind_a_question_that_has_waited_long(
    auth: Auth, clock: Clock, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("k", "l"):
        await principals.find(key)
    clock.now += POSITIVE_SECONDS * 2
    auth.hangs = True
    await principals.find("k")
    clock.now += PATIENCE_SECONDS
    monkeypatch.setattr(asyncio, "wait", None)
    for key in ("k", "l", "k"):
        assert (await principals.find(key)).key_id == key
