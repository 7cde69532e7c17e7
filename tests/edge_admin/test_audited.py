"""E7: whatever an operator changes is in the audit trail, by whom, and by which request."""

import secrets
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.edge_admin.rest import Rest
from tests.edge_admin.test_border import mounted
from tests.waiting import wait_until

ORG, USER = "/admin/organizations", "/admin/users"
KEY = f"{USER}/{{user_id}}/api-keys"
PROVIDER = f"{ORG}/{{org_id}}/provider-keys/{{provider}}"
ADMIN_KEYS = "/admin/admin-keys"

Fields = dict[str, Any] | None

WRITES: dict[tuple[str, str], tuple[Any, str, str, Fields, Fields]] = {
    ("POST", ORG): (
        {"name": "New", "monthly_budget_usd": "7"},
        "organization.create",
        "org_id",
        None,
        {"monthly_budget_usd": "7", "allow_upstream_cache": False},
    ),
    ("PATCH", f"{ORG}/{{org_id}}"): (
        {"monthly_budget_usd": "8"},
        "organization.update",
        "org_id",
        {"monthly_budget_usd": "100"},
        {"monthly_budget_usd": "8"},
    ),
    ("DELETE", f"{ORG}/{{org_id}}"): (
        None,
        "organization.delete",
        "org_id",
        {"name": "Family"},
        None,
    ),
    ("PUT", PROVIDER): (
        {"credential": "sk-0123456789abcdefghij"},
        "provider_key.set",
        "openai",
        {"hint": "sk-…efgh"},
        {"hint": "sk-…ghij"},
    ),
    ("DELETE", PROVIDER): (None, "provider_key.delete", "openai", {"hint": "sk-…efgh"}, None),
    ("POST", USER): (
        {"email": "new@example.com", "monthly_limit_usd": "5"},
        "user.create",
        "user_id",
        None,
        {"email": "new@example.com"},
    ),
    ("PATCH", f"{USER}/{{user_id}}"): (
        {"status": "suspended"},
        "user.update",
        "user_id",
        {"status": "active"},
        {"status": "suspended"},
    ),
    ("DELETE", f"{USER}/{{user_id}}"): (None, "user.delete", "user_id", {"status": "active"}, None),
    ("POST", f"{USER}/{{user_id}}/reset-quota"): (
        {"reason": "a demo went wild"},
        "user.reset_quota",
        "user_id",
        {"spent_usd": "spent"},
        {"spent_usd": "0", "reason": "a demo went wild"},
    ),
    ("POST", KEY): ({"name": "second"}, "api_key.create", "key_id", None, {"name": "second"}),
    ("PATCH", f"{KEY}/{{key_id}}"): (
        {"name": "laptop"},
        "api_key.update",
        "key_id",
        {"name": "first"},
        {"name": "laptop"},
    ),
    ("DELETE", f"{KEY}/{{key_id}}"): (
        None,
        "api_key.revoke",
        "key_id",
        {"status": "active"},
        {"status": "revoked"},
    ),
    ("POST", f"{KEY}/{{key_id}}/rotate"): (
        {},
        "api_key.rotate",
        "old key",
        {"status": "active"},
        {},
    ),
    ("POST", ADMIN_KEYS): (None, "admin_key.create", "admin_key_id", None, {}),
    ("DELETE", f"{ADMIN_KEYS}/{{admin_key_id}}"): (
        None,
        "admin_key.revoke",
        "admin_key_id",
        {},
        None,
    ),
}
"""Route: body, action, target (a field of the answer, or itself), before, after."""

ELSEWHERE = {("POST", "/admin/provider-keys/rewrap")}
"""Changes only what an old master key wrapped: tests/auth/test_provider_keys.py."""


def test_e7_every_write_of_the_admin_api_is_listed_here() -> None:
    found = {(method, path) for method, path in mounted() if method != "GET"}
    assert found == set(WRITES) | ELSEWHERE


def settled(rest: Rest, user: str) -> Decimal:
    """What the user has spent, once the request is settled."""

    def usage() -> Any:
        return rest.good("GET", f"/users/{user}/usage")

    wait_until(lambda: usage()["request_count"] == 1)
    return Decimal(usage()["spent_usd"])


@pytest.mark.parametrize(("method", "path"), sorted(WRITES))
def test_e7_a_write_is_told_with_actor_before_after_and_request(
    rest: Rest, method: str, path: str
) -> None:
    body, action, target, before, after = WRITES[method, path]
    family = rest.family()
    own = f"/organizations/{family['org_id']}/provider-keys/openai"
    rest.good("PUT", own, {"credential": "sk-0123456789abcdefefgh"})
    rest.chat(family["api_key"])
    spent = settled(rest, family["user_id"])
    name = f"auditor {secrets.token_hex(6)}"
    ann = rest.good("POST", "/admin-keys", {"name": name})
    known = {**family, "provider": "openai", "admin_key_id": ann["admin_key_id"]}
    if (method, path) == ("POST", USER):
        body = {**body, "org_id": family["org_id"]}
    if (method, path) == ("POST", ADMIN_KEYS):
        body = {"name": f"of {name}"}
    answer = rest.with_key(ann["admin_key"])(
        method, path.removeprefix("/admin").format(**known), body
    )
    assert answer.is_success, answer.text
    made = answer.json()
    platform = path.startswith(ADMIN_KEYS)
    org = "" if platform else made.get("org_id") or family["org_id"]
    entries = rest.good("GET", f"/audit?order=desc&page_size=20&org_id={org}")["data"]
    [entry] = [one for one in entries if one["request_id"] == answer.headers["x-request-id"]]
    assert (entry["actor"], entry["action"]) == (name, action)
    assert entry["target"] == {**known, **made, "old key": family["key_id"]}.get(target, target)
    for shown, wanted in ((entry["before"], before), (entry["after"], after)):
        assert (shown is None) == (wanted is None)
        for field, value in (wanted or {}).items():
            if value == "spent":
                assert Decimal(shown[field]) == spent > 0
            else:
                assert shown[field] == value
    assert rest.good("GET", f"/audit/verify?org_id={org}")["ok"]
    secret = [made.get("api_key"), made.get("admin_key"), "sk-0123456789abcdefghij"]
    assert not [one for one in secret if isinstance(one, str) and one in str(entries)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/users/{user_id}/reset-quota", {}, 422),
        ("POST", "/users/{user_id}/reset-quota", {"reason": " "}, 422),
        ("PATCH", "/users/{user_id}", {"role": "admin"}, 422),
        ("PATCH", "/users/{user_id}", {"monthly_limit_usd": "-1"}, 422),
        ("DELETE", "/organizations/{org_id}?validate_only=true", None, 200),
        ("DELETE", "/users/{user_id}?validate_only=true", None, 200),
        ("PATCH", "/users/{user_id}", {"status": "active"}, 200),
    ],
)
def test_what_changes_nothing_leaves_no_entry(
    rest: Rest, method: str, path: str, body: Any, status: int
) -> None:
    family = rest.family()
    known = rest.good("GET", f"/audit?org_id={family['org_id']}")["data"]
    assert rest(method, path.format(**family), body).status_code == status
    assert rest.good("GET", f"/audit?org_id={family['org_id']}")["data"] == known


def test_e7_a_repeated_write_is_told_once(rest: Rest) -> None:
    family = rest.family()
    path, key = f"/users/{family['user_id']}/reset-quota", secrets.token_hex(8)
    for _ in range(3):
        rest.good("POST", path, {"reason": "once"}, idempotency_key=key)
    trail = rest.good("GET", f"/audit?org_id={family['org_id']}&action=user.reset_quota")
    assert len(trail["data"]) == 1


def test_a14_guessing_is_429_and_in_the_trail_while_a_right_key_is_served(rest: Rest) -> None:
    wrong = rest.with_key("gw_admin_" + secrets.token_hex(19))
    told = [wrong("GET", "/organizations").status_code for _ in range(11)]
    assert told[:1] == [401] and told[-1] == 429
    refused = wrong("GET", "/organizations")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_attempts")
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    right = replace(wrong, key=rest.key)  # from the same address
    assert right("GET", "/organizations").status_code == 200
    [entry] = rest.good("GET", "/audit?action=admin.login_failures&order=desc&page_size=1")["data"]
    assert (entry["actor"], entry["target"]) == ("auth", wrong.address)
    assert rest.good("GET", "/audit/verify")["ok"]
