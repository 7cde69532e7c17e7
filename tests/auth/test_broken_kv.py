"""The KV fails at every single step of a write: nothing is left half done, and nobody lies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.exceptions as failures

from services.common.errors import NotFound, Unavailable
from services.common.kv_pool import command
from tests.auth.conftest import USD, Auth, Clock, running

Write = Callable[[Auth], Awaitable[Any]]


class Breaks:
    """A KV whose connection breaks at one round trip: before the server sees it, or after it did
    what was asked (``answered=False``: the answer is lost)."""

    def __init__(self, kv: Any) -> None:
        self.inner = kv
        self.trips = 0
        self.at = 0
        self.done_before = False

    def arm(self, at: int, *, done_before: bool) -> None:
        self.trips, self.at, self.done_before = 0, at, done_before

    async def trip(self, call: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        self.trips += 1
        broken = self.trips == self.at
        if broken and not self.done_before:
            raise failures.ConnectionError("broken by the test")
        answer = await call(*args, **named)
        if broken:
            raise failures.TimeoutError("broken by the test")
        return answer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name in ("evalsha", "eval", "get", "set", "delete", "hgetall"):
            return lambda *args, **named: self.trip(found, *args, **named)
        return found

    def pipeline(self, **named: Any) -> Any:
        pipe = self.inner.pipeline(**named)
        execute = pipe.execute
        pipe.execute = lambda: self.trip(execute)
        return pipe


@pytest.fixture(autouse=True)
def scripts_break_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Script calls take a shorter way to the pool: it is a trip as well."""

    async def breaking(kv: Any, *words: Any) -> Any:
        if isinstance(kv, Breaks):
            return await kv.trip(command, kv.inner, *words)
        return await command(kv, *words)

    monkeypatch.setattr("services.common.script.command", breaking)


async def broken_everywhere(
    kv_url: str, prepare: Write, write: Callable[[Auth, Any], Awaitable[Any]], check: Any
) -> None:
    """Runs ``write`` with the KV broken at its first round trip, its second, and so on."""
    wrapped: list[Breaks] = []

    def wrap(kv: Any) -> Breaks:
        wrapped.append(Breaks(kv))
        return wrapped[0]

    async with running(kv_url, Clock(), wrap) as auth:
        (kv,) = wrapped
        for done_before in (False, True):
            at = 1
            while True:
                given = await prepare(auth)
                kv.arm(at, done_before=done_before)
                try:
                    made = await write(auth, given)
                except Unavailable:
                    made = None
                finished = kv.trips < at
                kv.arm(0, done_before=False)
                await check(auth, given, made)
                if finished:
                    assert made is not None, "a failure was told where nothing failed"
                    assert at > 2
                    break
                at += 1


async def check_users(auth: Auth, org: Any, made: Any) -> None:
    users = list((await auth.admin.ListUsers(org_id=org.org_id)).users)
    if made is not None:
        assert users == [made]
    assert (await auth.admin.GetDirectoryCounts(org_id=org.org_id)).users == len(users)
    trail = await auth.admin.VerifyAuditTrail(org_id=org.org_id)
    assert (trail.entries, list(trail.breaks)) == (1 + len(users), [])
    if not users:
        again = await auth.user(org.org_id)
        assert await auth.admin.GetUser(user_id=again.user_id) == again


async def test_a_user_is_made_wholly_or_not_at_all(kv_flush: str) -> None:
    async def write(auth: Auth, org: Any) -> Any:
        return await auth.user(org.org_id)

    await broken_everywhere(kv_flush, lambda auth: auth.org(), write, check_users)


async def test_a_key_is_made_wholly_or_not_at_all(kv_flush: str) -> None:
    async def prepare(auth: Auth) -> Any:
        return await auth.user((await auth.org()).org_id)

    async def write(auth: Auth, user: Any) -> Any:
        return await auth.key(user.user_id)

    async def check(auth: Auth, user: Any, made: Any) -> None:
        listed = list((await auth.admin.ListApiKeys(user_id=user.user_id)).api_keys)
        counts = await auth.admin.GetDirectoryCounts(org_id=user.org_id)
        assert counts.api_keys_active == counts.api_keys == len(listed)
        if made is not None:
            assert listed == [made.api_key]
            assert (await auth.verify(made.secret)).key_id == made.api_key.key_id

    await broken_everywhere(kv_flush, prepare, write, check)


async def test_an_organisation_is_made_wholly_or_not_at_all(kv_flush: str) -> None:
    async def prepare(auth: Auth) -> Any:
        return [one.org_id for one in (await auth.admin.ListOrganizations()).organizations]

    async def check(auth: Auth, before: Any, made: Any) -> None:
        listed = [one.org_id for one in (await auth.admin.ListOrganizations()).organizations]
        new = [org for org in listed if org not in before]
        if made is not None:
            assert new == [made.org_id]
        for org in new:
            assert (await auth.admin.VerifyAuditTrail(org_id=org)).entries == 1

    await broken_everywhere(kv_flush, prepare, lambda auth, _: auth.org(), check)


async def test_a_deletion_happens_wholly_or_not_at_all(kv_flush: str) -> None:
    async def prepare(auth: Auth) -> Any:
        return await auth.family()

    async def write(auth: Auth, family: Any) -> Any:
        return await auth.admin.DeleteUser(user_id=family[1].user_id)

    async def check(auth: Auth, family: Any, made: Any) -> None:
        org, user, key = family
        try:
            await auth.admin.GetUser(user_id=user.user_id)
        except NotFound:
            counts = await auth.admin.GetDirectoryCounts(org_id=org.org_id)
            assert (counts.users, counts.api_keys) == (0, 0)
        else:
            assert made is None
            assert (await auth.verify(key.secret)).user_id == user.user_id

    await broken_everywhere(kv_flush, prepare, write, check)


async def test_while_the_kv_is_away_a_key_is_neither_good_nor_bad(kv_flush: str) -> None:
    wrapped: list[Breaks] = []

    def wrap(kv: Any) -> Breaks:
        wrapped.append(Breaks(kv))
        return wrapped[0]

    async with running(kv_flush, Clock(), wrap) as auth:
        _, _, made = await auth.family()
        for trip in (1, 2):
            wrapped[0].arm(trip, done_before=False)
            with pytest.raises(Unavailable) as refused:
                await auth.verify(made.secret)
            assert refused.value.reason == "STORE_UNAVAILABLE"
        await auth.verify(made.secret)


async def test_a_lost_answer_of_a_change_that_was_made_is_a_success(kv_flush: str) -> None:
    wrapped: list[Breaks] = []

    def wrap(kv: Any) -> Breaks:
        wrapped.append(Breaks(kv))
        return wrapped[0]

    async with running(kv_flush, Clock(), wrap) as auth:
        org = await auth.org()
        change = {"organization": {"org_id": org.org_id, "monthly_budget_nano_usd": USD}}
        wrapped[0].arm(10**9, done_before=True)
        await auth.admin.UpdateOrganization(organization={"org_id": org.org_id, "name": "Counted"})
        commit = wrapped[0].trips
        wrapped[0].arm(commit, done_before=True)
        made = await auth.admin.UpdateOrganization(**change)
        wrapped[0].arm(0, done_before=False)
        assert made == await auth.admin.GetOrganization(org_id=org.org_id)
        assert (await auth.admin.VerifyAuditTrail(org_id=org.org_id)).entries == 3
