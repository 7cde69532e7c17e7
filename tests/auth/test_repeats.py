"""Writes repeated with an idempotency key, and writes at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.auth.v1 import admin_pb2
from services.common.errors import AlreadyExists, Conflict, InvalidField, Unauthenticated
from tests.auth.conftest import USD, Auth, Clock, running

WRITES = {
    rpc.name
    for rpc in admin_pb2.DESCRIPTOR.services_by_name["AuthAdminService"].methods
    if not rpc.name.startswith(("Get", "List", "Verify"))
}


async def test_every_write_repeats_its_first_answer(auth: Auth) -> None:
    org, user, made = await auth.family()
    key = {"user_id": user.user_id, "key_id": made.api_key.key_id}
    limit = {"monthly_limit_nano_usd": USD}
    provider = {"org_id": org.org_id, "provider": "openai"}
    admin_key = (await auth.admin.CreateAdminKey(admin_key={"name": "A"})).admin_key
    doomed = await auth.org("Doomed")
    todo: dict[str, dict[str, Any]] = {
        "CreateOrganization": {"organization": {"name": "N", "monthly_budget_nano_usd": 1}},
        "UpdateOrganization": {"organization": {"org_id": org.org_id, "name": "N"}},
        "CreateUser": {"user": {"org_id": org.org_id, "email": "eve@example.com", **limit}},
        "UpdateUser": {"user": {"user_id": user.user_id, "name": "N"}},
        "CreateApiKey": {"api_key": {"user_id": user.user_id}},
        "UpdateApiKey": {"api_key": {**key, "name": "N"}},
        "RotateApiKey": {**key, "overlap_seconds": 60},
        "RevokeApiKey": key,
        "SetProviderKey": {**provider, "credential": "sk-" + "x" * 20},
        "DeleteProviderKey": provider,
        "RewrapProviderKeys": {},
        "CreateAdminKey": {"admin_key": {"name": "B"}},
        "RevokeAdminKey": {"admin_key_id": admin_key.admin_key_id},
        "DeleteUser": {"user_id": user.user_id},
        "DeleteOrganization": {"org_id": doomed.org_id},
    }
    assert set(todo) == WRITES
    for rpc, fields in todo.items():
        write = getattr(auth.admin.but(idempotency_key=f"key-{rpc}"), rpc)
        first = await write(**fields)
        before = await auth.everything()
        assert await write(**fields) == first, rpc
        assert await auth.everything() == before, rpc


async def test_the_same_key_for_another_rpc_is_a_conflict(auth: Auth) -> None:
    org, user, _ = await auth.family()
    once = auth.admin.but(idempotency_key="k")
    await once.UpdateUser(user={"user_id": user.user_id, "name": "N"})
    with pytest.raises(Conflict) as refused:
        await once.UpdateOrganization(organization={"org_id": org.org_id, "name": "N"})
    assert refused.value.reason == "IDEMPOTENCY_CONFLICT"


async def test_a_repeated_creation_shows_the_same_secret_and_stores_none(auth: Auth) -> None:
    _, user, _ = await auth.family()
    once = auth.admin.but(idempotency_key="canary-of-a-key")
    made = [await once.CreateApiKey(api_key={"user_id": user.user_id}) for _ in range(2)]
    assert made[0] == made[1]
    await auth.verify(made[1].secret)
    stored = repr(await auth.everything())
    assert made[0].secret not in stored
    assert "canary-of-a-key" not in stored
    assert len((await auth.admin.ListApiKeys(user_id=user.user_id)).api_keys) == 2


async def test_of_many_repeats_at_once_one_makes_a_key(auth: Auth) -> None:
    _, user, _ = await auth.family()
    once = auth.admin.but(idempotency_key="k")
    asked = {"api_key": {"user_id": user.user_id}}
    done = await asyncio.gather(
        *(once.CreateApiKey(**asked) for _ in range(12)), return_exceptions=True
    )
    secrets = {one.secret for one in done if isinstance(one, admin_pb2.CreateApiKeyResponse)}
    waits = [one.retry_after_ms for one in done if isinstance(one, Conflict)]
    assert len(secrets) == 1
    assert all(waits)
    assert len((await auth.admin.ListApiKeys(user_id=user.user_id)).api_keys) == 2


async def test_an_absurd_idempotency_key_is_refused(auth: Auth) -> None:
    with pytest.raises(InvalidField):
        await auth.admin.but(idempotency_key="x" * 256).CreateOrganization(
            organization={"name": "N", "monthly_budget_nano_usd": 1}
        )


async def test_changes_at_the_same_time_are_all_made_and_chained(auth: Auth) -> None:
    org = (await auth.org()).org_id
    users = [await auth.user(org, f"u{n}@example.com") for n in range(5)]
    await asyncio.gather(
        *(auth.key(user.user_id) for user in users for _ in range(6)),
        *(
            auth.admin.UpdateUser(user={"user_id": user.user_id, "name": f"N{n}"})
            for user in users
            for n in range(3)
        ),
    )
    found = await auth.admin.GetOrganization(org_id=org)
    assert found.revision == 1 + 5 + 30 + 15
    assert (await auth.admin.GetDirectoryCounts(org_id=org)).api_keys == 30
    answer = await auth.admin.VerifyAuditTrail(org_id=org)
    assert (answer.entries, list(answer.breaks)) == (51, [])


async def test_two_replicas_change_one_organisation_as_if_in_turn(kv_flush: str) -> None:
    clock = Clock()
    async with running(kv_flush, clock) as one, running(kv_flush, clock) as two:
        org = (await one.org()).org_id
        done = await asyncio.gather(
            *(auth.user(org, f"u{n}@example.com") for n in range(15) for auth in (one, two)),
            return_exceptions=True,
        )
        made = [user for user in done if isinstance(user, admin_pb2.User)]
        refused = [error for error in done if isinstance(error, AlreadyExists)]
        assert (len(made), len(refused)) == (15, 15)
        assert len({user.email for user in made}) == 15
        assert (await two.admin.GetDirectoryCounts(org_id=org)).users == 15
        answer = await one.admin.VerifyAuditTrail(org_id=org)
        assert (answer.entries, list(answer.breaks)) == (16, [])
        assert (await two.admin.GetOrganization(org_id=org)).revision == 16


async def test_what_one_replica_ends_the_other_refuses_at_once(kv_flush: str) -> None:
    clock = Clock()
    async with running(kv_flush, clock) as one, running(kv_flush, clock) as two:
        _, user, made = await one.family()
        await two.verify(made.secret)
        await one.admin.RevokeApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
        with pytest.raises(Unauthenticated):
            await two.verify(made.secret)
