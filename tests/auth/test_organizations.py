"""Organisations: what may be written, what is read back, what deletion takes along."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.v1 import admin_pb2
from services.common.errors import InvalidField, NotFound, Unauthenticated
from services.common.money import MAX_NANO_USD
from tests.auth.conftest import USD, Auth

Organization = admin_pb2.Organization


async def test_what_was_created_is_read_back(auth: Auth) -> None:
    made = await auth.org(
        "  Demo Corporation ",
        failure_mode="FAILURE_MODE_FAIL_OPEN",
        fallback_daily_limit_nano_usd=USD,
        allowed_models=["openai/*", "anthropic/claude-*", "openai/*"],
        rates={"requests_per_minute": 0, "concurrent_requests": 5},
    )
    assert made.org_id.startswith("org_")
    assert made.name == "Demo Corporation"
    assert made.status == admin_pb2.STATUS_ACTIVE
    assert made.allowed_models == ["openai/*", "anthropic/claude-*"]
    assert made.rates.HasField("requests_per_minute")
    assert not made.rates.HasField("tokens_per_minute")
    assert made.create_time.seconds == int(auth.clock.now)
    assert made == await auth.admin.GetOrganization(org_id=made.org_id)


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"name": ""}, "organization.name", "is required"),
        ({"name": "x" * 201}, "organization.name", "at most 200"),
        ({"name": "a\nb"}, "organization.name", "control characters"),
        ({"monthly_budget_nano_usd": None}, "organization.monthly_budget_nano_usd", "is required"),
        ({"monthly_budget_nano_usd": -1}, "organization.monthly_budget_nano_usd", "negative"),
        (
            {"monthly_budget_nano_usd": MAX_NANO_USD + 1},
            "organization.monthly_budget_nano_usd",
            "at most",
        ),
        (
            {"fallback_daily_limit_nano_usd": -1},
            "organization.fallback_daily_limit_nano_usd",
            "negative",
        ),
        ({"allowed_models": ["a b"]}, "organization.allowed_models", "without spaces"),
        ({"allowed_models": [""]}, "organization.allowed_models", "1 to 200"),
        ({"rates": {"tokens_per_minute": -1}}, "organization.rates.tokens_per_minute", "negative"),
        ({"status": "STATUS_REVOKED"}, "organization.status", "STATUS_SUSPENDED"),
        ({"failure_mode": 9}, "organization.failure_mode", "FAIL_OPEN"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_made(
    auth: Auth, fields: dict[str, Any], field: str, part: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        await auth.org(**{"name": "Demo", **fields})
    assert refused.value.field == field
    assert part in refused.value.problem
    assert await auth.everything() == {}


async def test_a_budget_of_zero_is_a_budget(auth: Auth) -> None:
    made = await auth.org(monthly_budget_nano_usd=0)
    assert made.HasField("monthly_budget_nano_usd")
    assert made.monthly_budget_nano_usd == 0


async def test_without_a_mask_every_populated_field_changes(auth: Auth) -> None:
    org = await auth.org(rates={"requests_per_minute": 5, "tokens_per_minute": 7})
    auth.clock.now += 10
    new = await auth.admin.UpdateOrganization(
        organization={"org_id": org.org_id, "name": "New", "rates": {"requests_per_minute": 6}}
    )
    assert (new.name, new.monthly_budget_nano_usd) == ("New", org.monthly_budget_nano_usd)
    assert (new.rates.requests_per_minute, new.rates.tokens_per_minute) == (6, 7)
    assert new.update_time.seconds == org.update_time.seconds + 10
    assert new.revision == org.revision + 1


async def test_a_whole_message_read_before_can_be_sent_back(auth: Auth) -> None:
    org = await auth.org()
    org.name = "Changed"
    new = await auth.admin.UpdateOrganization(organization=org)
    assert new.name == "Changed"


async def test_a_mask_changes_its_fields_only_and_can_empty_them(auth: Auth) -> None:
    org = await auth.org(
        allowed_models=["openai/*"], rates={"requests_per_minute": 5}, allow_upstream_cache=True
    )
    new = await auth.admin.UpdateOrganization(
        organization={"org_id": org.org_id, "name": "ignored"},
        update_mask={"paths": ["allowed_models", "rates", "allow_upstream_cache"]},
    )
    assert new.name == org.name
    assert list(new.allowed_models) == []
    assert not new.HasField("rates")
    assert not new.allow_upstream_cache
    assert new == await auth.admin.GetOrganization(org_id=org.org_id)


@pytest.mark.parametrize("path", ["color", "rates.color", "org_id", "revision", "create_time", "*"])
async def test_a_mask_with_an_unknown_or_fixed_path_changes_nothing(auth: Auth, path: str) -> None:
    org = await auth.org()
    with pytest.raises(InvalidField) as refused:
        await auth.admin.UpdateOrganization(
            organization={"org_id": org.org_id, "name": "New"},
            update_mask={"paths": ["name", path]},
        )
    assert refused.value.field == "update_mask"
    assert path in refused.value.problem
    assert ("cannot be changed" if path in dir(org) else "is not a field") in refused.value.problem
    assert await auth.admin.GetOrganization(org_id=org.org_id) == org


async def test_an_update_that_changes_nothing_leaves_no_trace(auth: Auth) -> None:
    org = await auth.org()
    before = await auth.everything()
    same = await auth.admin.UpdateOrganization(
        organization={"org_id": org.org_id, "name": org.name}
    )
    assert same == org
    assert await auth.everything() == before


async def test_pages_hold_every_organisation_once_in_the_order_of_ids(auth: Auth) -> None:
    made = sorted([(await auth.org(f"Org {n}")).org_id for n in range(7)])
    await auth.admin.DeleteOrganization(org_id=made[3])
    await auth.admin.UpdateOrganization(
        organization={"org_id": made[5], "status": "STATUS_SUSPENDED"}
    )
    found, token = [], ""
    while True:
        page = await auth.admin.ListOrganizations(page_size=2, page_token=token)
        found += [org.org_id for org in page.organizations]
        assert len(page.organizations) <= 2
        token = page.next_page_token
        if not token:
            break
    assert found == made[:3] + made[4:]
    suspended = await auth.admin.ListOrganizations(status="STATUS_SUSPENDED")
    assert [org.org_id for org in suspended.organizations] == [made[5]]


async def test_a_full_last_page_promises_no_further_one(auth: Auth) -> None:
    for number in range(4):
        await auth.org(f"Org {number}")
    first = await auth.admin.ListOrganizations(page_size=2)
    last = await auth.admin.ListOrganizations(page_size=2, page_token=first.next_page_token)
    assert len(last.organizations) == 2
    assert last.next_page_token == ""


@pytest.mark.parametrize(
    ("fields", "field"), [({"page_size": -1}, "page_size"), ({"page_token": "ÿ"}, "page_token")]
)
async def test_a_bad_page_is_named(auth: Auth, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await auth.admin.ListOrganizations(**fields)
    assert refused.value.field == field


async def test_deleting_takes_users_and_keys_and_leaves_the_money_and_the_trail(
    auth: Auth,
) -> None:
    org, user, made = await auth.family()
    await auth.admin.SetProviderKey(
        org_id=org.org_id, provider="openai", credential="sk-" + "x" * 40
    )
    money = {f"org:{{{org.org_id}}}:quota": {"2027-01:spent": "5"}}
    await auth.kv.hset(f"org:{{{org.org_id}}}:quota", mapping={"2027-01:spent": "5"})
    expected = admin_pb2.DeleteOrganizationResponse(
        users_deleted=1, api_keys_revoked=1, provider_keys_deleted=1
    )
    before = await auth.everything()
    asked = await auth.admin.DeleteOrganization(org_id=org.org_id, validate_only=True)
    assert asked == expected
    assert await auth.everything() == before
    assert await auth.admin.DeleteOrganization(org_id=org.org_id) == expected
    with pytest.raises(NotFound):
        await auth.admin.GetOrganization(org_id=org.org_id)
    with pytest.raises(NotFound):
        await auth.admin.GetUser(user_id=user.user_id)
    with pytest.raises(Unauthenticated):
        await auth.verify(made.secret)
    left = await auth.everything()
    assert set(left) == {
        "orgs",
        f"user:{user.user_id}",
        f"org:{{{org.org_id}}}:quota",
        f"audit:{{{org.org_id}}}",
        f"audit:{{{org.org_id}}}:head",
    }
    assert left.items() >= money.items()
    trail = await auth.admin.ListAuditEntries(org_id=org.org_id)
    assert trail.entries[-1].action == "organization.delete"


@pytest.mark.parametrize("name", ["org_unknown", "org_{x}", "*", "a b", "x" * 500])
async def test_an_unknown_organisation_is_not_found(auth: Auth, name: str) -> None:
    with pytest.raises(NotFound) as refused:
        await auth.admin.GetOrganization(org_id=name)
    assert refused.value.metadata == {"resource": "organization", "id": name[:64]}
    with pytest.raises(NotFound):
        await auth.admin.UpdateOrganization(organization={"org_id": name, "name": "x"})
    with pytest.raises(NotFound):
        await auth.admin.DeleteOrganization(org_id=name)
    assert await auth.everything() == {}


async def test_a_missing_id_is_a_field_error(auth: Auth) -> None:
    with pytest.raises(InvalidField) as refused:
        await auth.admin.UpdateOrganization(organization={"name": "x"})
    assert refused.value.field == "organization.org_id"
