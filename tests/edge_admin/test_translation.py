"""What a request becomes for the services, and what their answers become in JSON."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from gateway.quota.v1 import quota_pb2 as money_pb2
from tests.edge_admin.conftest import ADMIN_KEY, SERVICE_TOKEN, Api

WHEN = Timestamp(seconds=1_795_000_000)
KEY = "/admin/users/user_a/api-keys/key_a"


async def test_a_created_organization_is_what_was_asked_to_the_nano_dollar(api: Api) -> None:
    def made(request: Any) -> Any:
        request.organization.org_id = "org_new"
        request.organization.status = admin_pb2.STATUS_ACTIVE
        request.organization.create_time.CopyFrom(WHEN)
        return request.organization

    api.recorder.answers["CreateOrganization"] = made
    body = b"""{"name": "Demo", "monthly_budget_usd": 0.123456789, "failure_mode": "fail-open",
        "fallback_daily_limit_usd": "2.50", "allowed_models": ["openai/*"],
        "requests_per_minute": 0, "tokens_per_minute": null}"""
    headers = {"content-type": "application/json"}
    answer = await api.send("POST", "/admin/organizations", content=body, headers=headers)
    (sent,) = api.recorder.requests("CreateOrganization")
    assert sent.organization.monthly_budget_nano_usd == 123_456_789
    assert sent.organization.rates.HasField("requests_per_minute")
    assert not sent.organization.rates.HasField("tokens_per_minute")
    assert answer.status_code == 201
    assert answer.headers["location"] == "/admin/organizations/org_new"
    assert answer.json() == {
        "org_id": "org_new",
        "name": "Demo",
        "status": "active",
        "monthly_budget_usd": "0.123456789",
        "failure_mode": "fail-open",
        "fallback_daily_limit_usd": "2.5",
        "allowed_models": ["openai/*"],
        "allow_upstream_cache": False,
        "requests_per_minute": 0,
        "tokens_per_minute": None,
        "concurrent_requests": None,
        "created_at": "2026-11-18T11:06:40Z",
        "updated_at": None,
        "revision": 0,
    }


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"monthly_limit_usd": "7"}, ["monthly_limit_nano_usd"]),
        ({"status": "suspended"}, ["status"]),
        ({"allowed_models": []}, ["allowed_models"]),
        ({"requests_per_minute": None}, ["rates.requests_per_minute"]),
        ({"name": "", "email": "a@b.example"}, ["email", "name"]),
    ],
)
async def test_a_patch_changes_exactly_the_fields_it_names(
    api: Api, body: dict[str, Any], paths: list[str]
) -> None:
    answer = await api.send("PATCH", "/admin/users/user_a", json=body)
    assert answer.status_code == 200
    (sent,) = api.recorder.requests("UpdateUser")
    assert (list(sent.update_mask.paths), sent.user.user_id) == (paths, "user_a")


async def test_null_clears_an_optional_field_of_a_key(api: Api) -> None:
    await api.send("PATCH", KEY, json={"monthly_limit_usd": None, "expires_at": None})
    (sent,) = api.recorder.requests("UpdateApiKey")
    assert list(sent.update_mask.paths) == ["expire_time", "monthly_limit_nano_usd"]
    assert not sent.api_key.HasField("monthly_limit_nano_usd")
    assert not sent.api_key.HasField("expire_time")


async def test_a_time_with_another_zone_is_the_same_instant(api: Api) -> None:
    await api.send(
        "POST", "/admin/users/user_a/api-keys", json={"expires_at": "2026-11-18T13:06:40+02:00"}
    )
    (sent,) = api.recorder.requests("CreateApiKey")
    assert sent.api_key.expire_time == WHEN


async def test_a_created_key_is_shown_once_and_never_cached(api: Api) -> None:
    key = admin_pb2.ApiKey(key_id="key_n", user_id="user_a", name="laptop", create_time=WHEN)
    api.recorder.answers["CreateApiKey"] = admin_pb2.CreateApiKeyResponse(
        api_key=key, secret="gw_live_secret"
    )
    made = await api.send("POST", "/admin/users/user_a/api-keys", json={"name": "laptop"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    shown = {name: made.json()[name] for name in ("key_id", "api_key", "name", "created_at")}
    assert shown == {
        "key_id": "key_n",
        "api_key": "gw_live_secret",
        "name": "laptop",
        "created_at": "2026-11-18T11:06:40Z",
    }
    api.recorder.answers["GetApiKey"] = key
    assert "api_key" not in (await api.send("GET", KEY)).json()


async def test_a_key_may_be_asked_for_with_no_body_at_all(api: Api) -> None:
    assert (await api.send("POST", "/admin/users/user_a/api-keys")).status_code == 201
    assert (await api.send("POST", f"{KEY}/rotate")).status_code == 201
    (sent,) = api.recorder.requests("RotateApiKey")
    assert (sent.user_id, sent.key_id, sent.overlap_seconds) == ("user_a", "key_a", 0)


async def test_usage_is_told_in_exact_dollars(api: Api) -> None:
    owner = money_pb2.Owner(org_id="org_a", user_id="user_a")
    api.recorder.answers["GetUsage"] = quota_pb2.Usage(
        owner=owner,
        month="2026-11",
        spent_nano_usd=1,
        held_nano_usd=2_000_000_000,
        limit_nano_usd=5_000_000_000,
        remaining_nano_usd=2_999_999_999,
        request_count=3,
        reset_time=WHEN,
    )
    usage = (await api.send("GET", "/admin/users/user_a/usage?month=2026-11")).json()
    assert usage["spent_usd"] == "0.000000001"
    assert usage["held_usd"] == "2"
    assert usage["remaining_usd"] == "2.999999999"
    assert usage["resets_at"] == "2026-11-18T11:06:40Z"
    assert (usage["org_id"], usage["user_id"], usage["key_id"]) == ("org_a", "user_a", None)
    (sent,) = api.recorder.requests("GetUsage")
    assert (sent.owner, sent.month) == (money_pb2.Owner(user_id="user_a"), "2026-11")


async def test_a_deletion_that_only_counts_says_so(api: Api) -> None:
    api.recorder.answers["DeleteOrganization"] = admin_pb2.DeleteOrganizationResponse(
        users_deleted=2, api_keys_revoked=3
    )
    told = await api.send("DELETE", "/admin/organizations/org_a?validate_only=true")
    done = await api.send("DELETE", "/admin/organizations/org_a")
    assert [request.validate_only for request in api.recorder.requests("DeleteOrganization")] == [
        True,
        False,
    ]
    assert told.json() == {
        "org_id": "org_a",
        "deleted": False,
        "users_deleted": 2,
        "api_keys_revoked": 3,
        "provider_keys_deleted": 0,
    }
    assert done.json()["deleted"] is True


async def test_lists_carry_filters_and_say_where_the_next_page_begins(api: Api) -> None:
    api.recorder.answers["ListUsers"] = admin_pb2.ListUsersResponse(
        users=[admin_pb2.User(user_id="user_a")], next_page_token="more"
    )
    path = "/admin/users?org_id=org_a&status=suspended&email=a@b.example&page_size=1&page_token=t"
    listed = (await api.send("GET", path)).json()
    assert [user["user_id"] for user in listed["data"]] == ["user_a"]
    assert listed["next_page_token"] == "more"
    (sent,) = api.recorder.requests("ListUsers")
    assert sent == admin_pb2.ListUsersRequest(
        org_id="org_a",
        status=admin_pb2.STATUS_SUSPENDED,
        email="a@b.example",
        page_size=1,
        page_token="t",
    )
    api.recorder.answers["ListUsers"] = admin_pb2.ListUsersResponse()
    assert (await api.send("GET", "/admin/users")).json()["next_page_token"] is None


async def test_an_organizations_admin_lists_the_own_organization_by_default(api: Api) -> None:
    api.recorder.answers["GetAdminIdentity"] = admin_pb2.AdminIdentity(name="eve", org_id="org_e")
    await api.send("GET", "/admin/users")
    await api.send("GET", "/admin/audit")
    await api.send("GET", "/admin/usage")
    await api.send("GET", "/admin/metrics")
    for rpc in ("ListUsers", "ListAuditEntries", "ListUsageRecords", "GetMetrics", "ListTopUsers"):
        assert api.recorder.requests(rpc)[0].org_id == "org_e", rpc


async def test_services_learn_who_asks_from_where_and_under_which_id(api: Api) -> None:
    headers = {"idempotency-key": "once"}
    answer = await api.send(
        "POST", "/admin/users/user_a/reset-quota", json={"reason": "goodwill"}, headers=headers
    )
    metadata = api.recorder.metadata("ResetUserQuota")
    assert metadata["authorization"] == f"Bearer {ADMIN_KEY}"
    assert metadata["x-gateway-service"] == SERVICE_TOKEN
    assert metadata["x-gateway-peer"] == "127.0.0.1"
    assert metadata["x-request-id"] == answer.headers["x-request-id"]
    assert metadata["idempotency-key"] == "once"


async def test_the_audit_trail_shows_what_changed(api: Api) -> None:
    entry = admin_pb2.AuditEntry(
        entry_id="7-0",
        time=WHEN,
        actor="admin",
        action="user.update",
        target="user_a",
        before='{"monthly_limit_nano_usd":"5000000000","allowed_models":"a/* b"}',
        after='{"monthly_limit_nano_usd":"123","expire_time":"1795600000000",'
        '"rates.requests_per_minute":"60","allow_upstream_cache":"1","name":"7"}',
        org_id="org_a",
        hash="ab",
    )
    api.recorder.answers["ListAuditEntries"] = admin_pb2.ListAuditEntriesResponse(entries=[entry])
    path = "/admin/audit?org_id=org_a&action=user.&since=2026-11-01&order=desc"
    (told,) = (await api.send("GET", path)).json()["data"]
    assert told["before"] == {"monthly_limit_usd": "5", "allowed_models": ["a/*", "b"]}
    assert told["after"] == {
        "monthly_limit_usd": "0.000000123",
        "expires_at": "2026-11-25T09:46:40.000Z",
        "requests_per_minute": 60,
        "allow_upstream_cache": True,
        "name": "7",
    }
    (sent,) = api.recorder.requests("ListAuditEntries")
    assert (sent.action, sent.descending) == ("user.", True)
    assert sent.start_time.ToJsonString() == "2026-11-01T00:00:00Z"
    assert not sent.HasField("end_time")


async def test_verification_joins_the_money_and_the_trail(api: Api) -> None:
    path = "/admin/organizations/org_a/verify"
    assert (await api.send("GET", path)).json()["ok"] is True
    wrong = quota_pb2.LedgerDifference(subject="org", field="spent", counter=1, source="journal")
    api.recorder.answers["VerifyLedger"] = quota_pb2.VerifyLedgerResponse(differences=[wrong])
    found = (await api.send("GET", path)).json()
    assert (found["ok"], found["ledger"]["differences"][0]["subject"]) == (False, "org")
    api.recorder.answers["VerifyLedger"] = quota_pb2.VerifyLedgerResponse()
    api.recorder.answers["VerifyAuditTrail"] = admin_pb2.VerifyAuditTrailResponse(breaks=["3-0"])
    found = (await api.send("GET", path)).json()
    assert (found["ok"], found["audit"]["breaks"]) == (False, ["3-0"])
