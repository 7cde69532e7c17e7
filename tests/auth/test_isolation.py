"""An admin key bound to an organisation does everything inside it and sees nothing outside."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import NotFound, PermissionDenied, Unauthenticated
from tests.auth.conftest import USD, Auth, Client


class Two:
    """Two organisations with a user and a key each; ``mine`` is bound to the first."""

    def __init__(self, auth: Auth, mine: Client, own: Any, foreign: Any) -> None:
        self.auth, self.mine, self.own, self.foreign = auth, mine, own, foreign


@pytest.fixture
async def two(auth: Auth) -> Two:
    own, foreign = await auth.family(), await auth.family()
    made = await auth.admin.CreateAdminKey(admin_key={"name": "Grace", "org_id": own[0].org_id})
    return Two(auth, auth.admin.but(made.secret), own, foreign)


def calls(org: str, user: str, key: str) -> dict[str, dict[str, Any]]:
    """Every RPC that names a resource, and how."""
    name = {"user_id": user, "key_id": key}
    limit = {"monthly_limit_nano_usd": USD}
    return {
        "GetOrganization": {"org_id": org},
        "UpdateOrganization": {"organization": {"org_id": org, "name": "Taken"}},
        "DeleteOrganization": {"org_id": org},
        "CreateUser": {"user": {"org_id": org, "email": "eve@example.com", **limit}},
        "GetUser": {"user_id": user},
        "ListUsers": {"org_id": org},
        "UpdateUser": {"user": {"user_id": user, "name": "Taken"}},
        "DeleteUser": {"user_id": user},
        "CreateApiKey": {"api_key": {"user_id": user}},
        "GetApiKey": name,
        "ListApiKeys": {"user_id": user},
        "UpdateApiKey": {"api_key": {**name, "name": "Taken"}},
        "RevokeApiKey": name,
        "RotateApiKey": name,
        "SetProviderKey": {"org_id": org, "provider": "openai", "credential": "sk-" + "x" * 20},
        "ListProviderKeys": {"org_id": org},
        "DeleteProviderKey": {"org_id": org, "provider": "openai"},
        "ListAuditEntries": {"org_id": org},
        "VerifyAuditTrail": {"org_id": org},
        "GetDirectoryCounts": {"org_id": org},
    }


def ids(family: Any) -> tuple[str, str, str]:
    org, user, made = family
    return org.org_id, user.user_id, made.api_key.key_id


async def refusal(client: Client, rpc: str, fields: dict[str, Any]) -> str:
    with pytest.raises(NotFound) as refused:
        await getattr(client, rpc)(**fields)
    return refused.value.message


async def test_foreign_and_unknown_are_the_same_to_a_bound_key(two: Two) -> None:
    before = await two.auth.everything()
    foreign, unknown = ids(two.foreign), ("org_x", "user_x", "key_x")
    for rpc, fields in calls(*foreign).items():
        said = await refusal(two.mine, rpc, fields)
        alike = await refusal(two.mine, rpc, calls(*unknown)[rpc])
        for one, other in zip(foreign, unknown, strict=True):
            said = said.replace(one, other)
        assert said == alike, rpc
    assert await two.auth.everything() == before


async def test_inside_its_organisation_a_bound_key_can_do_everything(two: Two) -> None:
    todo = calls(*ids(two.own))
    order = [rpc for rpc in todo if not rpc.startswith(("Delete", "Revoke", "Rotate"))]
    order += ["RotateApiKey", "RevokeApiKey", "DeleteProviderKey", "DeleteUser"]
    assert {*order, "DeleteOrganization"} == set(todo)
    for rpc in order:
        await getattr(two.mine, rpc)(**todo[rpc])


async def test_what_the_platform_allows_an_organisation_it_cannot_change(two: Two) -> None:
    org = two.own[0].org_id
    before = await two.auth.everything()
    for change in (
        {"monthly_budget_nano_usd": 200 * USD},
        {"status": "STATUS_SUSPENDED"},
        {"fallback_daily_limit_nano_usd": USD},
        {"allowed_models": ["*"]},
        {"rates": {"requests_per_minute": 10**6}},
    ):
        with pytest.raises(PermissionDenied):
            await two.mine.UpdateOrganization(organization={"org_id": org, **change})
    with pytest.raises(PermissionDenied):
        await two.mine.DeleteOrganization(org_id=org)
    assert await two.auth.everything() == before


async def test_the_platforms_rpcs_are_denied_to_a_bound_key(two: Two) -> None:
    platform: dict[str, dict[str, Any]] = {
        "CreateOrganization": {"organization": {"name": "X", "monthly_budget_nano_usd": 1}},
        "RewrapProviderKeys": {},
        "CreateAdminKey": {"admin_key": {"name": "Eve"}},
        "ListAdminKeys": {},
        "RevokeAdminKey": {"admin_key_id": "adminkey_x"},
    }
    for rpc, fields in platform.items():
        with pytest.raises(PermissionDenied) as refused:
            await getattr(two.mine, rpc)(**fields)
        assert refused.value.reason == "PERMISSION_DENIED"


async def test_lists_without_an_organisation_hold_only_its_own(two: Two) -> None:
    org, user, _ = two.own
    assert [one.org_id for one in (await two.mine.ListOrganizations()).organizations] == [
        org.org_id
    ]
    assert [one.user_id for one in (await two.mine.ListUsers()).users] == [user.user_id]
    assert (await two.mine.GetDirectoryCounts()).users == 1
    entries = (await two.mine.ListAuditEntries()).entries
    assert {entry.org_id for entry in entries} == {org.org_id}
    assert (await two.mine.VerifyAuditTrail()).entries == len(entries) == 3


async def test_a_foreign_page_token_opens_nothing(two: Two) -> None:
    everything = await two.auth.admin.ListUsers(page_size=1)
    page = await two.mine.ListUsers(page_token=everything.next_page_token)
    assert {user.org_id for user in page.users} <= {two.own[0].org_id}


async def test_a_revoked_admin_key_fails_on_the_next_call(two: Two) -> None:
    (key,) = (await two.auth.admin.ListAdminKeys()).admin_keys
    assert (await two.mine.GetAdminIdentity()).org_id == two.own[0].org_id
    await two.auth.admin.RevokeAdminKey(admin_key_id=key.admin_key_id)
    with pytest.raises(Unauthenticated):
        await two.mine.GetAdminIdentity()


async def test_a_service_is_the_platform_but_nobody_else_without_a_key(two: Two) -> None:
    assert (await two.auth.edge.GetAdminIdentity()).name == "service"
    for token in ("x" * 40, two.own[2].secret, "gw_admin_" + "0" * 38):
        with pytest.raises(Unauthenticated):
            await two.auth.admin.but(token).ListOrganizations()
