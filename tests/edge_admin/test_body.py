"""Bad input gets a clear error that names the field and the fix, and nothing reaches a service."""

from typing import Any

import pytest

from tests.edge_admin.conftest import Api

ORG = {"name": "Demo", "monthly_budget_usd": "10"}
USER = {"email": "ada@example.com", "org_id": "org_a", "monthly_limit_usd": 5}

REFUSED_VALUES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("POST", "/admin/organizations", {"name": "Demo"}, "monthly_budget_usd", "is required"),
    ("POST", "/admin/organizations", {"monthly_budget_usd": 1}, "name", "is required"),
    ("POST", "/admin/organizations", ORG | {"budget": 1}, "budget", "not a field"),
    ("POST", "/admin/organizations", ORG | {"org_id": "org_x"}, "org_id", "not a field"),
    ("POST", "/admin/organizations", ORG | {"name": ""}, "name", "1 to 200"),
    ("POST", "/admin/organizations", ORG | {"name": "x" * 201}, "name", "1 to 200"),
    ("POST", "/admin/organizations", ORG | {"name": "  "}, "name", "blank"),
    ("POST", "/admin/organizations", ORG | {"name": "a\nb"}, "name", "control"),
    ("POST", "/admin/organizations", ORG | {"name": 7}, "name", "string"),
    ("POST", "/admin/organizations", ORG | {"name": None}, "name", "null"),
    ("POST", "/admin/organizations", ORG | {"monthly_budget_usd": -1}, "monthly_budget_usd", "neg"),
    (
        "POST",
        "/admin/organizations",
        ORG | {"monthly_budget_usd": "x"},
        "monthly_budget_usd",
        "USD",
    ),
    ("POST", "/admin/organizations", ORG | {"monthly_budget_usd": ""}, "monthly_budget_usd", "USD"),
    (
        "POST",
        "/admin/organizations",
        ORG | {"monthly_budget_usd": [1]},
        "monthly_budget_usd",
        "USD",
    ),
    (
        "POST",
        "/admin/organizations",
        ORG | {"monthly_budget_usd": True},
        "monthly_budget_usd",
        "USD",
    ),
    (
        "POST",
        "/admin/organizations",
        ORG | {"monthly_budget_usd": 4_000_001},
        "monthly_budget_usd",
        "at most",
    ),
    (
        "POST",
        "/admin/organizations",
        ORG | {"monthly_budget_usd": "0.0000000001"},
        "monthly_budget_usd",
        "nano-dollar",
    ),
    ("POST", "/admin/organizations", ORG | {"status": "revoked"}, "status", "active"),
    ("POST", "/admin/organizations", ORG | {"failure_mode": "open"}, "failure_mode", "fail-open"),
    ("POST", "/admin/organizations", ORG | {"allowed_models": "a"}, "allowed_models", "list"),
    ("POST", "/admin/organizations", ORG | {"allowed_models": ["a b"]}, "allowed_models", "spaces"),
    (
        "POST",
        "/admin/organizations",
        ORG | {"allow_upstream_cache": 1},
        "allow_upstream_cache",
        "t",
    ),
    (
        "POST",
        "/admin/organizations",
        ORG | {"requests_per_minute": -1},
        "requests_per_minute",
        "must be 0",
    ),
    (
        "POST",
        "/admin/organizations",
        ORG | {"requests_per_minute": 1.5},
        "requests_per_minute",
        "whole",
    ),
    ("POST", "/admin/users", USER | {"email": "ada"}, "email", "e-mail"),
    ("POST", "/admin/users", USER | {"role": "admin"}, "role", "not a field"),
    ("PATCH", "/admin/users/user_a", {"role": "admin"}, "role", "not a field"),
    ("PATCH", "/admin/users/user_a", {"org_id": "org_b"}, "org_id", "not a field"),
    ("PATCH", "/admin/users/user_a", {"user_id": "user_b"}, "user_id", "not a field"),
    ("PATCH", "/admin/users/user_a", {"status": "revoked"}, "status", "active"),
    ("PATCH", "/admin/users/user_a", {"monthly_limit_usd": None}, "monthly_limit_usd", "null"),
    ("PATCH", "/admin/organizations/org_a", {"revision": 9}, "revision", "not a field"),
    ("PATCH", "/admin/users/user_a/api-keys/key_a", {"status": "active"}, "status", "not a field"),
    ("PATCH", "/admin/users/user_a/api-keys/key_a", {"user_id": "u"}, "user_id", "not a field"),
    ("POST", "/admin/users/user_a/api-keys", {"api_key": "gw_live_x"}, "api_key", "not a field"),
    ("POST", "/admin/users/user_a/api-keys", {"expires_at": "tomorrow"}, "expires_at", "zone"),
    ("POST", "/admin/users/user_a/api-keys", {"expires_at": "2030-01-01"}, "expires_at", "zone"),
    (
        "POST",
        "/admin/users/user_a/api-keys/key_a/rotate",
        {"overlap_seconds": 2_592_001},
        "overlap_seconds",
        "must be 0",
    ),
    ("POST", "/admin/users/user_a/reset-quota", {}, "reason", "is required"),
    ("POST", "/admin/users/user_a/reset-quota", {"reason": ""}, "reason", "1 to 500"),
    ("PUT", "/admin/organizations/org_a/provider-keys/openai", {}, "credential", "is required"),
    (
        "PUT",
        "/admin/organizations/org_a/provider-keys/openai",
        {"credential": "x" * 8193},
        "credential",
        "8192",
    ),
    (
        "PUT",
        "/admin/organizations/org_a/provider-keys/Open",
        {"credential": "x"},
        "provider",
        "a-z",
    ),
    ("POST", "/admin/admin-keys", {"name": ""}, "name", "1 to 64"),
    ("POST", "/admin/provider-keys/rewrap", {"x": 1}, "x", "not a field"),
]


@pytest.mark.parametrize(("method", "path", "body", "param", "words"), REFUSED_VALUES)
async def test_a_bad_value_is_422_names_its_field_and_changes_nothing(
    api: Api, method: str, path: str, body: dict[str, Any], param: str, words: str
) -> None:
    answer = await api.send(method, path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (422, param)
    assert error["message"].startswith(param) and words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert api.recorder.writes() == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nope",
        b'{"name": NaN}',
        b'{"monthly_budget_usd": 1e999}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"name": "a"}',
        '{"name": "a"}'.encode("utf-16"),
        b'{"monthly_budget_usd": ' + b"9" * 5_000 + b"}",
        b"[" * 50_000,
        b'{"name": "a", "name": "b"}',
        b'{"name": "a"} {}',
    ],
    ids=range(13),
)
async def test_b3_what_is_not_one_json_document_is_400(api: Api, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await api.send("POST", "/admin/organizations", content=raw, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"
    assert api.recorder.writes() == []


async def test_b3_a_name_given_twice_is_refused_by_name(api: Api) -> None:
    raw = b'{"name": "Demo", "monthly_budget_usd": 1, "monthly_budget_usd": 1000}'
    headers = {"content-type": "application/json"}
    answer = await api.send("POST", "/admin/organizations", content=raw, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "monthly_budget_usd"


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"name"', b"null"])
async def test_json_that_is_no_object_is_422(api: Api, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await api.send("POST", "/admin/organizations", content=raw, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_type")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ],
)
async def test_b6_another_content_type_is_415(api: Api, kind: str) -> None:
    headers = {"content-type": kind}
    answer = await api.send("POST", "/admin/organizations", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert api.recorder.writes() == []


async def test_b7_a_compressed_body_is_415(api: Api) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await api.send("POST", "/admin/organizations", content=b"{}", headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
async def test_b1_a_body_above_the_cap_is_413(api: Api, declared: bool) -> None:
    raw = b'{"name": "' + b"x" * 65_536 + b'"}'

    async def chunks() -> Any:
        yield raw[:40_000]
        yield raw[40_000:]

    headers = {"content-type": "application/json"}
    content: Any = raw if declared else chunks()
    answer = await api.send("POST", "/admin/organizations", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert api.recorder.writes() == []


async def test_an_empty_patch_is_refused_with_the_names_there_are(api: Api) -> None:
    answer = await api.send("PATCH", "/admin/users/user_a", json={})
    assert answer.status_code == 422
    assert "monthly_limit_usd" in answer.json()["error"]["message"]


REFUSED_QUERIES = [
    ("/admin/users?page_size=0", "page_size"),
    ("/admin/users?page_size=1001", "page_size"),
    ("/admin/users?page_size=-1", "page_size"),
    ("/admin/users?page_size=ten", "page_size"),
    ("/admin/users?page_size=1&page_size=2", "page_size"),
    ("/admin/users?role=admin", "role"),
    ("/admin/users?status=gone", "status"),
    ("/admin/users/user_a?verbose=1", "verbose"),
    ("/admin/users/user_a/usage?month=2026-13", "month"),
    ("/admin/users/user_a/usage?month=november", "month"),
    ("/admin/users/user_a/usage?month=", "month"),
    ("/admin/usage?month=2026-13", "month"),
    ("/admin/usage?org_id=org_a&group_by=color", "group_by"),
    ("/admin/usage?org_id=org_a&group_by=day,day", "group_by"),
    ("/admin/usage?org_id=org_a&format=xml", "format"),
    ("/admin/audit?since=yesterday", "since"),
    ("/admin/audit?order=up", "order"),
]


@pytest.mark.parametrize(("path", "param"), REFUSED_QUERIES)
async def test_a_bad_query_is_422_and_names_its_parameter(api: Api, path: str, param: str) -> None:
    answer = await api.send("GET", path)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


async def test_a_bad_validate_only_deletes_nothing(api: Api) -> None:
    answer = await api.send("DELETE", "/admin/organizations/org_a?validate_only=yes")
    assert answer.status_code == 422
    assert api.recorder.writes() == []
