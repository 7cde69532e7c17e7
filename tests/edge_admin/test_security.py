"""Checks of the control plane by their ids, over a whole gateway; the others stand beside what they
check: A1, A2, A3, A9, A14 in test_border, A8 in test_tenants, A10 in test_resources, A13 in
test_listener, B1, B3, B6, B7 in test_body, E7 in test_audited; E1, E2 in tests/auth; the console's
in tests/console/test_access."""

import hashlib
import json
import secrets
from typing import Any

import pytest

from tests.edge.world import ADMIN_KEY
from tests.edge_admin.rest import Rest

ANSI, SEPARATOR = "\x1b[31m", "\u2028"


def test_a5_the_hash_of_an_admin_key_is_no_key(rest: Rest) -> None:
    made = rest.good("POST", "/admin-keys", {"name": f"ann {secrets.token_hex(6)}"})
    for key in (ADMIN_KEY, made["admin_key"]):
        digest = rest.with_key(hashlib.sha256(key.encode()).hexdigest())
        assert digest("GET", "/identity").status_code in (401, 429)
        assert rest.with_key(key)("GET", "/identity").status_code == 200


@pytest.mark.parametrize("name", ["Name", "NAME", "monthly_Budget_usd", "monthlyBudgetUsd"])
def test_b5_a_field_in_another_case_is_no_field(rest: Rest, name: str) -> None:
    body = {"name": "x", "monthly_budget_usd": 1, name: 5}
    answer = rest("POST", "/organizations", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, name)


@pytest.mark.parametrize("text", [f"a{ANSI}b", f"a{SEPARATOR}b", "a\r\nb", "a\0b"])
def test_e4_nothing_that_could_forge_a_log_line_is_stored(rest: Rest, text: str) -> None:
    family = rest.family()
    for method, path, body in (
        ("PATCH", f"/organizations/{family['org_id']}", {"name": text}),
        ("PATCH", f"/users/{family['user_id']}", {"name": text}),
        ("PATCH", f"/users/{family['user_id']}", {"email": f"{text}@example.com"}),
        ("POST", f"/users/{family['user_id']}/api-keys", {"name": text}),
        ("POST", "/admin-keys", {"name": text}),
        ("POST", f"/users/{family['user_id']}/reset-quota", {"reason": text}),
    ):
        answer = rest(method, path, body)
        assert answer.status_code == 422, (path, body, answer.text)


def test_e3_no_answer_tells_of_our_inside(rest: Rest) -> None:
    family = rest.family()
    for path in (
        "/users/../../etc/passwd",
        "/organizations/%00",
        "/organizations/org_{x}",
        "/users?page_token=AAAA",
        f"/users/{family['user_id']}/api-keys/{'k' * 65}",
        f"/organizations/{family['org_id']}/journal?page_token=bm8",
        f"/organizations/{family['org_id']}/provider-keys/..%2F",
    ):
        answer = rest("GET", path)
        assert 400 <= answer.status_code < 500, path
        assert not [
            one for one in ("Traceback", "/services/", "redis", "grpc") if one in answer.text
        ]


def test_f6_no_other_site_may_read_the_control_plane(rest: Rest) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for method, path in (
        ("GET", "/admin/users"),
        ("OPTIONS", "/admin/users"),
        ("GET", "/console/sign-in"),
        ("OPTIONS", "/console/sign-in"),
    ):
        answer = rest.http.request(method, rest.url + path, headers=origin)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_g1_nothing_is_made_without_a_limit(rest: Rest) -> None:
    family = rest.family()
    user: dict[str, Any] = {"email": "new@example.com", "org_id": family["org_id"]}
    for path, body, param in (
        ("/organizations", {"name": "x"}, "monthly_budget_usd"),
        ("/users", user, "monthly_limit_usd"),
        ("/organizations", {"name": "x", "monthly_budget_usd": None}, "monthly_budget_usd"),
        ("/users", user | {"monthly_limit_usd": None}, "monthly_limit_usd"),
    ):
        answer = rest("POST", path, body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    for path, field in (
        (f"/organizations/{family['org_id']}", "monthly_budget_usd"),
        (f"/users/{family['user_id']}", "monthly_limit_usd"),
    ):
        assert rest("PATCH", path, {field: None}).status_code == 422


def test_unknown_things_are_named_by_the_field_that_names_them(rest: Rest) -> None:
    family = rest.family()
    user = {"email": "x@example.com", "org_id": "org_unknown", "monthly_limit_usd": 1}
    for method, path, body, param in (
        ("GET", "/organizations/org_unknown", None, "org_id"),
        ("GET", "/organizations/org_unknown/usage", None, "org_id"),
        ("GET", "/organizations/org_unknown/journal", None, "org_id"),
        ("GET", "/users/user_unknown", None, "user_id"),
        ("GET", "/users/user_unknown/usage", None, "user_id"),
        ("POST", "/users/user_unknown/reset-quota", {"reason": "x"}, "user_id"),
        ("GET", f"/users/{family['user_id']}/api-keys/key_unknown", None, "key_id"),
        ("GET", f"/users/{family['user_id']}/api-keys/key_unknown/usage", None, "key_id"),
        ("DELETE", "/admin-keys/adminkey_unknown", None, "admin_key_id"),
        (
            "DELETE",
            f"/organizations/{family['org_id']}/provider-keys/openai",
            None,
            "provider",
        ),
        ("POST", "/users", user, "org_id"),
    ):
        answer = rest(method, path, body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (404, "not_found", param)
        assert "not found" in error["message"], json.dumps(error)
