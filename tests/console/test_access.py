"""Who gets in, what a session is, and whose writes count."""

import re
import secrets
import time
from collections.abc import Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from services.edge.console.session import COOKIE, SECONDS, Sessions
from tests.console.browser import Browser, hidden
from tests.edge.world import ADMIN_KEY
from tests.edge_admin.rest import Rest

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGES = (
    "/console",
    "/console/overview/spend",
    "/console/organizations",
    "/console/organizations/new",
    "/console/organizations/org_x",
    "/console/users",
    "/console/users/new",
    "/console/users/user_x",
    "/console/users/user_x/journal",
    "/console/usage",
    "/console/usage/download?format=csv",
    "/console/audit",
    "/console/audit/verify",
    "/console/audit/download",
    "/console/admin-keys",
    "/console/nothing/here",
)


@pytest.mark.parametrize("path", PAGES)
def test_a1_without_a_session_every_page_sends_to_the_sign_in(stranger: Browser, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in")


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/static/console.css", *PAGES])
def test_every_answer_carries_the_strict_policy(operator: Browser, path: str) -> None:
    answer = operator.get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    if "/static/" not in path:
        assert answer.headers["cache-control"] == "no-store"


def test_a_file_is_sent_again_only_when_it_changed(stranger: Browser) -> None:
    path = "/console/static/vendor/htmx.min.js"
    first = stranger.get(path)
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    again = stranger.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(stranger: Browser) -> None:
    flags = stranger.sign_in(ADMIN_KEY).headers["set-cookie"].lower()
    assert flags.startswith(COOKIE)
    for flag in ("httponly", "samesite=strict", "path=/console", f"max-age={SECONDS}"):
        assert flag in flags
    assert "secure" not in flags


def test_the_cookie_is_for_https_only_where_the_sign_in_came_by_https(stranger: Browser) -> None:
    answer = stranger.post("/console/sign-in", {"key": ADMIN_KEY}, x_forwarded_proto="https")
    assert "secure" in answer.headers["set-cookie"].lower()


def test_the_cookie_tells_nothing_and_cannot_be_changed(operator: Browser) -> None:
    assert ADMIN_KEY not in operator.cookie and "admin" not in operator.cookie
    flipped = "A" if operator.cookie[20] != "A" else "B"
    changed = operator.cookie[:20] + flipped + operator.cookie[21:]
    for wrong in (changed, operator.cookie[:-4], "", "x", "é" * 3, "A" * 5_000):
        headers = {"cookie": f"{COOKIE}={wrong}".encode()}
        answer = httpx.get(f"{operator.url}/console", headers=headers)  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")


def test_a_session_is_over_after_twelve_hours_and_is_sealed_under_the_service_token() -> None:
    now = time.time()
    clock = [now]
    sessions = Sessions("a-service-token", lambda: clock[0])
    request = _request("")
    response = Response()
    sessions.keep(sessions.start("admin", "a-key", "ada", ""), request, response)
    cookie = response.headers["set-cookie"].partition(";")[0]
    kept = sessions.of(_request(cookie))
    assert kept is not None and kept.secret == "a-key"
    assert Sessions("another-token", lambda: now).of(_request(cookie)) is None
    clock[0] = now + SECONDS
    assert sessions.of(_request(cookie)) is None


def _request(cookie: str) -> Request:
    headers = [(b"cookie", cookie.encode()), (b"host", b"edge")]
    scope = {"type": "http", "app": Starlette(), "method": "GET", "path": "/", "headers": headers}
    return Request({**scope, "scheme": "http", "query_string": b"", "server": ("edge", 80)})


@pytest.mark.parametrize(
    "key", ["", "wrong", "a b", "ü", "x" * 600, "gw_live_" + "0" * 38, "gw_admin_" + "0" * 38]
)
def test_what_is_no_key_gets_no_session_and_one_plain_sentence(
    guesser: Callable[[str], Browser], key: str
) -> None:
    browser = guesser("127.0.0.41")
    answer = browser.sign_in(key)
    assert answer.status_code in (401, 422)
    assert browser.cookie == ""
    assert 'role="alert"' in answer.text
    assert not key or len(key) < 10 or key not in answer.text


def test_signing_in_needs_a_page_of_the_console(stranger: Browser) -> None:
    for headers in (
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-site"},
    ):
        assert stranger.post("/console/sign-in", {"key": ADMIN_KEY}, **headers).status_code == 403
    bare = stranger.http.post(f"{stranger.url}/console/sign-in", data={"key": ADMIN_KEY})
    assert (bare.status_code, stranger.cookie) == (403, "")


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/console//evil", "/admin", "/consolex"]
)
def test_after_signing_in_nobody_is_sent_to_another_site(stranger: Browser, wanted: str) -> None:
    answer = stranger.post("/console/sign-in", {"key": ADMIN_KEY, "next": wanted})
    assert answer.headers["location"] == "/console"


def test_after_signing_in_the_page_that_was_asked_for_opens(stranger: Browser) -> None:
    asked = stranger.get("/console/users").headers["location"]
    fields = hidden(stranger.get(asked).text)
    answer = stranger.post("/console/sign-in", fields | {"key": ADMIN_KEY})
    assert answer.headers["location"] == "/console/users"


def test_signing_out_forgets_the_session(operator: Browser) -> None:
    fields = hidden(operator.get("/console").text)
    answer = operator.post("/console/sign-out", {"csrf": fields["csrf"]})
    assert answer.headers["location"] == "/console/sign-in"
    assert operator.cookie == ""
    assert operator.get("/console").status_code == 303


def test_a_write_of_another_site_or_without_the_token_changes_nothing(
    operator: Browser, rest: Rest
) -> None:
    name = f"Forged {secrets.token_hex(6)}"
    fields = operator.form("/console/organizations/new")
    good = fields | {"name": name, "monthly_budget_usd": "5"}
    path = "/console/organizations/new"
    forged = [
        operator.post(path, good, origin="https://evil.example", sec_fetch_site="cross-site"),
        operator.post(path, good, sec_fetch_site="same-site"),
        operator.post(path, good, origin="https://evil.example"),
        operator.post(path, good | {"csrf": ""}),
        operator.post(path, good | {"csrf": fields["csrf"][:-1] + "~"}),
        operator.post(path, {k: v for k, v in good.items() if k != "csrf"}),
        operator.http.post(operator.url + path, data=good),
    ]
    assert [answer.status_code for answer in forged] == [403] * len(forged)
    assert name not in str(rest.good("GET", "/organizations?page_size=1000"))
    assert operator.post(path, good).status_code == 303


def test_the_token_of_another_session_does_not_count(operator: Browser) -> None:
    other = Browser(operator.url)
    other.sign_in(ADMIN_KEY)
    fields = other.form("/console/organizations/new")
    other.http.close()
    answer = operator.post("/console/organizations/new", fields | {"name": "Forged"})
    assert answer.status_code == 403


def test_a_form_that_is_too_large_or_no_form_is_refused_in_a_page(operator: Browser) -> None:
    path = "/console/organizations/new"
    large = operator.post(path, operator.form(path) | {"name": "x" * 70_000})
    assert (large.status_code, large.headers["content-type"][:9]) == (413, "text/html")
    headers = {"origin": operator.url, "content-type": "application/x-www-form-urlencoded"}
    broken = operator.http.post(operator.url + path, content=b"csrf=\xff", headers=headers)
    assert (broken.status_code, broken.headers["content-type"][:9]) == (400, "text/html")


def test_a_revoked_admin_key_ends_its_sessions(stranger: Browser, rest: Rest) -> None:
    made = rest.good("POST", "/admin-keys", {"name": f"ada-{secrets.token_hex(4)}"})
    stranger.sign_in(made["admin_key"])
    assert stranger.get("/console").status_code == 200
    rest.good("DELETE", f"/admin-keys/{made['admin_key_id']}")
    answer = stranger.get("/console")
    assert answer.headers["location"] == "/console/sign-in?ended=1"
    assert stranger.cookie == ""


def test_a9_a_key_holder_sees_the_own_page_and_no_other(stranger: Browser, rest: Rest) -> None:
    family = rest.family(name="Ada")
    rest.chat(family["api_key"])
    assert stranger.sign_in(family["api_key"]).headers["location"] == "/console"
    page = stranger.get("/console").text
    assert "Ada" in page and "of $50.00 spent" in page
    assert family["api_key"] not in page
    for path in PAGES[1:-1]:
        assert stranger.get(path).status_code == 403, path


def test_a_revoked_api_key_ends_its_session(stranger: Browser, rest: Rest) -> None:
    family = rest.family()
    stranger.sign_in(family["api_key"])
    assert stranger.get("/console").status_code == 200
    rest.good("DELETE", f"/users/{family['user_id']}/api-keys/{family['key_id']}")
    assert stranger.get("/console").headers["location"] == "/console/sign-in?ended=1"


def test_a8_an_admin_of_one_organisation_sees_nothing_of_another(
    stranger: Browser, rest: Rest
) -> None:
    own, foreign = rest.family(), rest.family()
    body = {"name": f"bound-{secrets.token_hex(4)}", "org_id": own["org_id"]}
    stranger.sign_in(rest.good("POST", "/admin-keys", body)["admin_key"])
    org, user = foreign["org_id"], foreign["user_id"]
    key = f"/console/users/{user}/api-keys/{foreign['key_id']}"
    for path in (
        f"/console/organizations/{org}",
        f"/console/organizations/{org}/edit",
        f"/console/organizations/{org}/delete",
        f"/console/organizations/{org}/verify",
        f"/console/users/{user}",
        f"/console/users/{user}/edit",
        f"/console/users/{user}/journal",
        f"/console/users/{user}/api-keys/new",
        f"{key}/revoke",
        f"{key}/rotate",
        f"/console/usage?org_id={org}",
        f"/console/usage?org_id={own['org_id']}&user_id={user}",
        f"/console/audit?org_id={org}",
        f"/console?org_id={org}",
    ):
        assert stranger.get(path).status_code == 404, path
    assert stranger.get(f"/console/users/{own['user_id']}").status_code == 200
    assert org not in stranger.get("/console/organizations").text
    assert stranger.get("/console/admin-keys").status_code == 403


def test_a14_many_wrong_keys_are_slowed_whatever_they_look_like(
    guesser: Callable[[str], Browser],
) -> None:
    stranger = guesser("127.0.0.42")
    told = set()
    for number in range(12):
        key = "gw_live_" + "0" * 38 if number % 2 else f"wrong-{number}"
        told.add(stranger.sign_in(key).status_code)
    answer = stranger.sign_in("gw_live_" + "0" * 38)
    assert told <= {401, 429}
    assert answer.status_code == 429
    assert re.search("Too many", answer.text)
