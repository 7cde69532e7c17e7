"""Counts are kept, not counted; whatever happens they equal a recount."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.auth.v1 import admin_pb2
from services.common.errors import NotFound, PreconditionFailed
from tests.auth.conftest import Auth, Clock, running

EMAILS = itertools.count()
STEPS = ("user", "key", "short key", "revoke", "rotate", "overlap", "expire", "forever", "delete")
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), max_size=14)


class World:
    """Does steps to users and keys of one organisation."""

    def __init__(self, auth: Auth, org: str) -> None:
        self.auth, self.org = auth, org
        self.users: list[str] = []
        self.keys: list[tuple[str, str]] = []

    async def do(self, step: str, number: int) -> None:
        if step == "user":
            made = await self.auth.user(self.org, f"u{next(EMAILS)}@example.com")
            self.users.append(made.user_id)
        elif step == "expire":
            self.auth.clock.now += number * 10
        elif self.users and step in ("key", "short key", "delete"):
            await self._to_user(step, self.users[number % len(self.users)], number)
        elif self.keys:
            user, key = self.keys[number % len(self.keys)]
            await self._to_key(step, {"user_id": user, "key_id": key})

    async def _to_user(self, step: str, user: str, number: int) -> None:
        if step == "delete":
            await self.auth.admin.DeleteUser(user_id=user)
            self.users.remove(user)
            return
        end = {"seconds": int(self.auth.clock.now) + 10 + number}
        made = await self.auth.key(user, **({"expire_time": end} if step == "short key" else {}))
        self.keys.append((user, made.api_key.key_id))

    async def _to_key(self, step: str, key: dict[str, str]) -> None:
        admin = self.auth.admin
        try:
            if step == "revoke":
                await admin.RevokeApiKey(**key)
            elif step == "forever":
                await admin.UpdateApiKey(api_key=key, update_mask={"paths": ["expire_time"]})
            else:
                seconds = 15 if step == "overlap" else 0
                made = await admin.RotateApiKey(**key, overlap_seconds=seconds)
                self.keys.append((key["user_id"], made.api_key.key_id))
        except (NotFound, PreconditionFailed):
            pass  # Of a deleted user, or dead already: refused, and therefore counted nowhere.

    async def recount(self) -> admin_pb2.DirectoryCounts:
        users = (await self.auth.admin.ListUsers(org_id=self.org)).users
        found: list[Any] = []
        for user in users:
            found += (await self.auth.admin.ListApiKeys(user_id=user.user_id)).api_keys
        now = self.auth.clock.now
        revoked = [key for key in found if key.status == admin_pb2.STATUS_REVOKED]
        expired = [
            key
            for key in found
            if key not in revoked
            and key.HasField("expire_time")
            and key.expire_time.ToMilliseconds() <= now * 1000
        ]
        return admin_pb2.DirectoryCounts(
            organizations=1,
            users=len(users),
            api_keys=len(found),
            api_keys_active=len(found) - len(revoked) - len(expired),
            api_keys_revoked=len(revoked),
        )


@pytest.mark.timeout(120)
def test_counts_equal_a_recount_after_any_steps(kv_flush: str) -> None:
    loop = asyncio.new_event_loop()
    context = running(kv_flush, Clock())
    auth = loop.run_until_complete(context.__aenter__())

    async def live(done: list[tuple[str, int]]) -> None:
        world = World(auth, (await auth.org()).org_id)
        for step, number in [("user", 0), ("key", 0), *done]:
            await world.do(step, number)
        counts = await auth.admin.GetDirectoryCounts(org_id=world.org)
        assert counts == await world.recount()
        assert list((await auth.admin.VerifyAuditTrail(org_id=world.org)).breaks) == []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    @example([("short key", 1), ("revoke", 1), ("expire", 7)])
    @example([("short key", 1), ("forever", 1), ("expire", 7)])
    @example([("short key", 1), ("rotate", 1), ("expire", 7)])
    @example([("overlap", 0), ("expire", 7), ("delete", 0)])
    def check(done: list[tuple[str, int]]) -> None:
        loop.run_until_complete(live(done))

    try:
        check()
    finally:
        loop.run_until_complete(context.__aexit__(None, None, None))
        loop.close()


async def test_the_platforms_counts_are_the_sum_of_the_living(auth: Auth) -> None:
    families = [await auth.family() for _ in range(3)]
    await auth.admin.RevokeApiKey(
        user_id=families[0][1].user_id, key_id=families[0][2].api_key.key_id
    )
    await auth.admin.DeleteOrganization(org_id=families[1][0].org_id)
    assert await auth.admin.GetDirectoryCounts() == admin_pb2.DirectoryCounts(
        organizations=2, users=2, api_keys=2, api_keys_active=1, api_keys_revoked=1
    )
