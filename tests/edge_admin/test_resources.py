"""Organisations, users and keys from their beginning to their end, in a whole gateway."""

from datetime import UTC, datetime, timedelta

from tests.edge_admin.rest import Rest

NOBODY = "user_doesNotExist00000000"


def test_an_organization_lives_changes_and_goes_and_its_usage_stays(rest: Rest) -> None:
    made = rest("POST", "/organizations", {"name": "Lives", "monthly_budget_usd": 12.5})
    org = made.json()
    path = f"/organizations/{org['org_id']}"
    assert (made.status_code, made.headers["location"]) == (201, f"/admin{path}")
    assert rest.good("GET", path) == org
    changed = rest.good("PATCH", path, {"monthly_budget_usd": "3", "failure_mode": "fail-open"})
    assert (changed["monthly_budget_usd"], changed["failure_mode"]) == ("3", "fail-open")
    assert (changed["name"], changed["revision"] > org["revision"]) == ("Lives", True)
    body = {"email": "a@lives.example", "org_id": org["org_id"], "monthly_limit_usd": 1}
    user = rest.good("POST", "/users", body)
    told = rest.good("DELETE", f"{path}?validate_only=true")
    assert (told["deleted"], told["users_deleted"]) == (False, 1)
    assert rest("GET", path).status_code == 200
    gone = rest.good("DELETE", path)
    assert gone == {**told, "deleted": True}
    assert rest("GET", path).status_code == 404
    assert rest("GET", f"/users/{user['user_id']}").status_code == 404
    assert rest("DELETE", path).status_code == 404
    assert rest.good("GET", f"{path}/usage")["spent_usd"] == "0"
    assert rest.good("GET", f"{path}/journal")["data"] == []
    assert rest.good("GET", f"/usage?org_id={org['org_id']}")["data"] == []
    actions = [
        entry["action"] for entry in rest.good("GET", f"/audit?org_id={org['org_id']}")["data"]
    ]
    assert actions[-1] == "organization.delete"


def test_lists_are_paged_and_filtered(rest: Rest) -> None:
    org = rest.good("POST", "/organizations", {"name": "Paged", "monthly_budget_usd": 1})["org_id"]
    emails = [f"u{n}@paged.example" for n in range(5)]
    for email in emails:
        rest.good("POST", "/users", {"email": email, "org_id": org, "monthly_limit_usd": 1})
    found, token, pages = [], "", 0
    while True:
        page = rest.good("GET", f"/users?org_id={org}&page_size=2&page_token={token}")
        found += page["data"]
        pages += 1
        token = page["next_page_token"]
        if token is None:
            break
    assert pages >= 3
    assert sorted(user["email"] for user in found) == emails
    (one,) = rest.good("GET", f"/users?org_id={org}&email=U3@PAGED.example")["data"]
    assert one["email"] == "u3@paged.example"
    rest.good("PATCH", f"/users/{one['user_id']}", {"status": "suspended"})
    suspended = rest.good("GET", f"/organizations/{org}/users?status=suspended")["data"]
    assert [user["user_id"] for user in suspended] == [one["user_id"]]
    assert rest("GET", f"/users?org_id={org}&page_token=nonsense").status_code == 422


def test_a_user_is_unique_in_its_organization_and_needs_one_that_exists(rest: Rest) -> None:
    family = rest.family()
    body = {"email": family["email"].upper(), "org_id": family["org_id"], "monthly_limit_usd": 1}
    again = rest("POST", "/users", body)
    assert (again.status_code, again.json()["error"]["param"]) == (409, "email")
    lost = rest("POST", "/users", {**body, "org_id": "org_doesNotExist0000000"})
    assert lost.status_code == 404
    assert len(rest.good("GET", f"/users?org_id={family['org_id']}")["data"]) == 1


def test_a10_what_may_not_be_changed_is_refused_and_nothing_of_the_patch_is_done(
    rest: Rest,
) -> None:
    family = rest.family()
    user = f"/users/{family['user_id']}"
    key = f"{user}/api-keys/{family['key_id']}"
    org = f"/organizations/{family['org_id']}"
    for path, limit, wrong in (
        (user, "monthly_limit_usd", {"role": "admin"}),
        (user, "monthly_limit_usd", {"status": "revoked"}),
        (user, "monthly_limit_usd", {"org_id": "org_other"}),
        (user, "monthly_limit_usd", {"created_at": "2020-01-01T00:00:00Z"}),
        (key, "monthly_limit_usd", {"status": "active"}),
        (key, "monthly_limit_usd", {"user_id": "user_other"}),
        (org, "monthly_budget_usd", {"revision": 1}),
        (org, "monthly_budget_usd", {"status": "deleted"}),
    ):
        before = rest.good("GET", path)
        answer = rest("PATCH", path, {limit: "1000000", **wrong})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, next(iter(wrong)))
        assert rest.good("GET", path) == before


def test_unknown_things_are_404_everywhere(rest: Rest) -> None:
    family = rest.family()
    for method, path, body in (
        ("GET", "/organizations/org_nope", None),
        ("PATCH", "/organizations/org_nope", {"name": "x"}),
        ("DELETE", "/organizations/org_nope", None),
        ("GET", "/organizations/org_nope/usage", None),
        ("GET", "/organizations/org_nope/journal", None),
        ("GET", "/organizations/org_nope/verify", None),
        ("GET", "/organizations/org_nope/provider-keys", None),
        ("PUT", "/organizations/org_nope/provider-keys/openai", {"credential": "sk-x"}),
        ("GET", f"/users/{NOBODY}", None),
        ("PATCH", f"/users/{NOBODY}", {"name": "x"}),
        ("DELETE", f"/users/{NOBODY}", None),
        ("GET", f"/users/{NOBODY}/usage", None),
        ("POST", f"/users/{NOBODY}/reset-quota", {"reason": "x"}),
        ("POST", f"/users/{NOBODY}/api-keys", {}),
        ("GET", f"/users/{family['user_id']}/api-keys/key_nope", None),
        ("PATCH", f"/users/{family['user_id']}/api-keys/key_nope", {"name": "x"}),
        ("DELETE", f"/users/{family['user_id']}/api-keys/key_nope", None),
        ("POST", f"/users/{family['user_id']}/api-keys/key_nope/rotate", {}),
        ("GET", f"/users/{family['user_id']}/api-keys/key_nope/usage", None),
        ("DELETE", "/admin-keys/adm_nope", None),
        ("GET", "/usage?org_id=org_nope", None),
    ):
        answer = rest(method, path, body)
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["error"]["code"] == "not_found"


def test_a_key_is_shown_once_and_revoked_for_the_very_next_request(rest: Rest) -> None:
    family = rest.family()
    keys = f"/users/{family['user_id']}/api-keys"
    assert rest.chat(family["api_key"]).status_code == 200
    described = rest("GET", f"{keys}/{family['key_id']}")
    assert family["api_key"] not in described.text
    assert described.json()["prefix"] == family["api_key"][:12]
    revoked = rest.good("DELETE", f"{keys}/{family['key_id']}")
    assert (revoked["status"], revoked["revoked_at"] is not None) == ("revoked", True)
    assert rest.chat(family["api_key"]).status_code == 401
    assert rest.good("DELETE", f"{keys}/{family['key_id']}") == revoked
    assert rest.good("GET", f"{keys}?status=active")["data"] == []
    rotated = rest("POST", f"{keys}/{family['key_id']}/rotate")
    assert (rotated.status_code, rotated.json()["error"]["code"]) == (409, "precondition_failed")


def test_a_rotated_key_leaves_the_old_one_alive_for_as_long_as_was_said(rest: Rest) -> None:
    family = rest.family()
    path = f"/users/{family['user_id']}/api-keys/{family['key_id']}"
    rest.good("PATCH", path, {"name": "ci", "monthly_limit_usd": "5"})
    made = rest("POST", f"{path}/rotate", {"overlap_seconds": 3600})
    second = made.json()
    assert made.status_code == 201
    assert (second["rotated_from"], second["name"]) == (family["key_id"], "ci")
    assert second["monthly_limit_usd"] == "5"
    assert rest.chat(family["api_key"]).status_code == 200
    assert rest.chat(second["api_key"]).status_code == 200
    third = rest.good("POST", f"/users/{family['user_id']}/api-keys/{second['key_id']}/rotate")
    assert rest.chat(second["api_key"]).status_code == 401
    assert rest.chat(third["api_key"]).status_code == 200


def test_limits_rates_and_expiry_of_a_key_are_set_and_cleared(rest: Rest) -> None:
    family = rest.family()
    path = f"/users/{family['user_id']}/api-keys/{family['key_id']}"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    body = {"expires_at": until, "monthly_limit_usd": 1, "requests_per_minute": 9}
    limited = rest.good("PATCH", path, {**body, "allowed_models": ["openai/*"]})
    assert limited["expires_at"] == until.replace("+00:00", "Z")
    assert (limited["monthly_limit_usd"], limited["requests_per_minute"]) == ("1", 9)
    assert rest.chat(family["api_key"]).status_code == 404
    body = {"expires_at": None, "monthly_limit_usd": None, "requests_per_minute": None}
    free = rest.good("PATCH", path, {**body, "allowed_models": []})
    assert [free[name] for name in body] == [None, None, None]
    assert rest.chat(family["api_key"]).status_code == 200
    past = rest("PATCH", path, {"expires_at": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["error"]["param"]) == (422, "expires_at")


def test_suspension_holds_for_the_next_request_and_so_does_its_end(rest: Rest) -> None:
    family = rest.family()
    for path, code in (
        (f"/users/{family['user_id']}", "user_suspended"),
        (f"/organizations/{family['org_id']}", "org_suspended"),
    ):
        rest.good("PATCH", path, {"status": "suspended"})
        refused = rest.chat(family["api_key"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, code)
        rest.good("PATCH", path, {"status": "active"})
        assert rest.chat(family["api_key"]).status_code == 200


def test_a_lowered_limit_holds_for_the_next_request(rest: Rest) -> None:
    family = rest.family()
    assert rest.chat(family["api_key"]).status_code == 200
    rest.good("PATCH", f"/users/{family['user_id']}", {"monthly_limit_usd": 0})
    refused = rest.chat(family["api_key"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")


def test_provider_keys_are_written_and_never_read(rest: Rest) -> None:
    org = rest.family()["org_id"]
    path = f"/organizations/{org}/provider-keys"
    secret = "sk-canary-0123456789abcdef"
    put = rest("PUT", f"{path}/openai", {"credential": secret})
    listed = rest("GET", path)
    assert put.status_code == listed.status_code == 200
    assert secret not in put.text + listed.text + rest("GET", f"/audit?org_id={org}").text
    (one,) = listed.json()["data"]
    assert (one["provider"], one["hint"].startswith("sk-")) == ("openai", True)
    assert rest.good("DELETE", f"{path}/openai")["deleted"] is True
    assert rest("DELETE", f"{path}/openai").status_code == 404
    assert rest.good("POST", "/provider-keys/rewrap")["rewrapped"] >= 0


def test_the_same_idempotency_key_is_the_same_creation(rest: Rest) -> None:
    org = rest.family()["org_id"]
    body = {"email": "once@example.com", "org_id": org, "monthly_limit_usd": 1}
    first = rest("POST", "/users", body, idempotency_key="create-once")
    again = rest("POST", "/users", body, idempotency_key="create-once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = rest("POST", "/users", {**body, "monthly_limit_usd": 2}, idempotency_key="create-once")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    path = f"/users/{first.json()['user_id']}/api-keys"
    key = rest("POST", path, {"name": "k"}, idempotency_key="key-once")
    assert rest("POST", path, {"name": "k"}, idempotency_key="key-once").json() == key.json()
    assert len(rest.good("GET", path)["data"]) == 1
