"""Remembered callers: one question at a time, never longer than said, never more than said."""

import asyncio
import random
from typing import Any, cast

import pytest

from services.common.errors import Unauthenticated, Unavailable
from services.edge.clients import AuthClient
from services.edge.principal import Principal
from services.edge.principals import (
    NEGATIVE_SECONDS,
    POSITIVE_SECONDS,
    STALE_SECONDS,
    Principals,
)


class Auth:
    """Counts questions; ``answer`` decides."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Principal | Exception = Principal(org_id="o", user_id="u", key_id="k")
        self.gate = asyncio.Event()
        self.gate.set()

    async def verify(self, key_hash: str) -> Principal:
        self.asked.append(key_hash)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def credential(self, org_id: str, provider: str) -> str:
        self.asked.append(provider)
        return f"sk-{len(self.asked)}"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def principals(auth: Auth, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Principals:
    monkeypatch.setattr(random, "uniform", lambda a, b: 0.0)
    return Principals(cast(AuthClient, auth), most=3, clock=clock, wall=clock)


def wrong() -> Unauthenticated:
    return Unauthenticated("no", reason="API_KEY_INVALID")


async def test_a_known_key_is_not_asked_for_again_until_its_time_is_up(
    principals: Principals, auth: Auth, clock: Clock
) -> None:
    await principals.find("a")
    clock.now += POSITIVE_SECONDS - 1
    await principals.find("a")
    assert auth.asked == ["a"]
    clock.now += 2
    await principals.find("a")
    assert auth.asked == ["a", "a"]


async def test_a_wrong_key_is_remembered_shortly(
    principals: Principals, auth: Auth, clock: Clock
) -> None:
    auth.answer = wrong()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await principals.find("a")
    assert auth.asked == ["a"]
    clock.now += NEGATIVE_SECONDS + 1
    auth.answer = Principal(key_id="k")
    assert (await principals.find("a")).key_id == "k"


async def test_many_questions_about_one_key_are_one_question(
    principals: Principals, auth: Auth
) -> None:
    auth.gate.clear()
    asking = [asyncio.create_task(principals.find("a")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    auth.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, Principal) for result in results[1:])
    assert auth.asked == ["a"]


async def test_the_least_recently_used_is_forgotten_first(
    principals: Principals, auth: Auth
) -> None:
    for key in ("a", "b", "c", "a", "d"):
        await principals.find(key)
    auth.asked.clear()
    for key in ("a", "c", "d"):
        await principals.find(key)
    assert auth.asked == []
    await principals.find("b")
    assert auth.asked == ["b"]


async def test_an_expired_key_is_wrong_although_it_is_remembered(
    principals: Principals, auth: Auth, clock: Clock
) -> None:
    auth.answer = Principal(key_id="k", expire_time_ms=int((clock.now + 5) * 1_000))
    await principals.find("a")
    clock.now += 6
    with pytest.raises(Unauthenticated):
        await principals.find("a")


async def test_refresh_asks_at_once(principals: Principals, auth: Auth) -> None:
    await principals.find("a")
    auth.answer = Principal(key_id="k", revision=2)
    assert (await principals.refresh("a")).revision == 2
    assert (await principals.find("a")).revision == 2
    assert auth.asked == ["a", "a"]


async def test_i9_without_auth_the_recently_verified_are_known_and_nobody_else(
    principals: Principals, auth: Auth, clock: Clock
) -> None:
    await principals.find("a")
    auth.answer = Unavailable("away")
    clock.now += POSITIVE_SECONDS + 1
    assert (await principals.find("a")).key_id == "k"
    with pytest.raises(Unavailable):
        await principals.find("never seen")
    clock.now += STALE_SECONDS
    with pytest.raises(Unavailable):
        await principals.find("a")


async def test_i9_a_revoked_key_does_not_come_back_when_auth_goes_away(
    principals: Principals, auth: Auth, clock: Clock
) -> None:
    await principals.find("a")
    auth.answer = wrong()
    with pytest.raises(Unauthenticated):
        await principals.refresh("a")
    auth.answer = Unavailable("away")
    clock.now += NEGATIVE_SECONDS + 1
    with pytest.raises((Unauthenticated, Unavailable)):
        await principals.find("a")


async def test_a_provider_key_is_kept_for_one_revision_only(
    principals: Principals, auth: Auth
) -> None:
    first: Any = Principal(org_id="o", revision=1)
    second: Any = Principal(org_id="o", revision=2)
    assert await principals.credential(first, "p") == "sk-1"
    assert await principals.credential(first, "p") == "sk-1"
    assert await principals.credential(second, "p") == "sk-2"
