"""An organisation's admin key does everything inside, and nothing outside.

A8: what belongs to others does not exist. A9: what is the platform's is refused.
"""

from typing import Any

import pytest

from tests.edge.world import SERVICE_TOKEN
from tests.edge_admin.rest import Rest
from tests.edge_admin.test_border import mounted

PLATFORM = {
    ("POST", "/admin/organizations"),
    ("DELETE", "/admin/organizations/{org_id}"),
    ("POST", "/admin/admin-keys"),
    ("GET", "/admin/admin-keys"),
    ("DELETE", "/admin/admin-keys/{admin_key_id}"),
    ("POST", "/admin/provider-keys/rewrap"),
}
OWN = {
    "/admin/health",
    "/admin/metrics",
    "/admin/identity",
    "/admin/usage",
    "/admin/audit",
    "/admin/audit/verify",
    "/admin/organizations",
    "/admin/users",
}
"""Without an id in the path: tested below, by what they show."""

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/admin/organizations/{org_id}"): {"name": "Mine now"},
    ("PUT", "/admin/organizations/{org_id}/provider-keys/{provider}"): {"credential": "sk-x"},
    ("PATCH", "/admin/users/{user_id}"): {"monthly_limit_usd": 1_000_000},
    ("POST", "/admin/users/{user_id}/reset-quota"): {"reason": "mine"},
    ("PATCH", "/admin/users/{user_id}/api-keys/{key_id}"): {"name": "mine"},
    ("POST", "/admin/organizations"): {"name": "New", "monthly_budget_usd": 1},
    ("POST", "/admin/admin-keys"): {"name": "another"},
}


def bound(rest: Rest, org: str) -> Rest:
    made = rest.good("POST", "/admin-keys", {"name": f"of {org}", "org_id": org})
    return rest.with_key(made["admin_key"])


def filled(path: str, family: dict[str, str]) -> str:
    return path.removeprefix("/admin").format(
        **family, provider="openai", admin_key_id="admin_nobody"
    )


FOREIGN = [route for route in mounted() if route not in PLATFORM and route[1] not in OWN]


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_a8_what_belongs_to_others_is_404(rest: Rest, method: str, path: str) -> None:
    mine, theirs = rest.family(), rest.family()
    rest.good(
        "PUT", f"/organizations/{theirs['org_id']}/provider-keys/openai", {"credential": "sk-y"}
    )
    eve = bound(rest, mine["org_id"])
    answer = eve(method, filled(path, theirs), BODIES.get((method, path)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert rest("GET", f"/users/{theirs['user_id']}/api-keys/{theirs['key_id']}").is_success
    assert rest.chat(theirs["api_key"]).status_code == 200


@pytest.mark.parametrize(("method", "path"), FOREIGN)
def test_inside_its_organization_it_may_do_everything(rest: Rest, method: str, path: str) -> None:
    mine = rest.family()
    provider = f"/organizations/{mine['org_id']}/provider-keys/openai"
    rest.good("PUT", provider, {"credential": "sk-mine"})
    ada = bound(rest, mine["org_id"])
    answer = ada(method, filled(path, mine), BODIES.get((method, path)))
    assert answer.is_success, answer.text


@pytest.mark.parametrize(("method", "path"), sorted(PLATFORM))
def test_a9_what_is_the_platforms_is_403(rest: Rest, method: str, path: str) -> None:
    mine = rest.family()
    eve = bound(rest, mine["org_id"])
    answer = eve(method, filled(path, mine), BODIES.get((method, path)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


def test_lists_and_sums_show_the_own_organization_only(rest: Rest) -> None:
    mine, theirs = rest.family(), rest.family()
    rest.chat(theirs["api_key"])
    eve = bound(rest, mine["org_id"])
    assert [org["org_id"] for org in eve.good("GET", "/organizations")["data"]] == [mine["org_id"]]
    assert [user["user_id"] for user in eve.good("GET", "/users")["data"]] == [mine["user_id"]]
    metrics = eve.good("GET", "/metrics")
    assert (metrics["org_id"], metrics["totals"]["users"]) == (mine["org_id"], 1)
    assert metrics["totals"]["request_count"] == 0
    assert eve.good("GET", "/usage")["data"] == []
    assert {entry["org_id"] for entry in eve.good("GET", "/audit")["data"]} == {mine["org_id"]}
    assert eve.good("GET", "/audit/verify")["org_id"] == mine["org_id"]
    assert eve.good("GET", "/health")["status"] == "ok"
    for path in ("/users", "/usage", "/audit", "/audit/verify", "/metrics"):
        assert eve("GET", f"{path}?org_id={theirs['org_id']}").status_code == 404, path
    body = {"email": "x@example.com", "org_id": theirs["org_id"], "monthly_limit_usd": 1}
    assert eve("POST", "/users", body).status_code == 404


def test_the_service_token_opens_nothing_from_outside(rest: Rest) -> None:
    outside = rest.with_key(SERVICE_TOKEN)
    for method, path in (("GET", "/identity"), ("GET", "/organizations"), ("GET", "/health")):
        assert outside(method, path).status_code == 401


def test_a_revoked_admin_key_ends_at_once(rest: Rest) -> None:
    mine = rest.family()
    name = f"leaver of {mine['org_id']}"
    made = rest.good("POST", "/admin-keys", {"name": name, "org_id": mine["org_id"]})
    leaver = rest.with_key(made["admin_key"])
    assert leaver.good("GET", "/identity") == {"name": name, "org_id": mine["org_id"]}
    listed = rest("GET", "/admin-keys?page_size=1000")
    assert made["admin_key"] not in listed.text and made["admin_key_id"] in listed.text
    rest.good("DELETE", f"/admin-keys/{made['admin_key_id']}")
    assert leaver("GET", "/identity").status_code == 401
