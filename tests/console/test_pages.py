"""What the pages say and do, without a browser's scripts: each form is a page of its own."""

import csv
import io
import json
import re
import secrets

import httpx
import pytest

from tests.console.browser import Browser
from tests.edge_admin.rest import Rest

HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>'{{7*7}}"""
SECRET = re.compile(r"gw_live_[0-9A-Za-z]{38}")
ADMIN_SECRET = re.compile(r"gw_admin_[0-9A-Za-z]{38}")


def location(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_names_and_reasons_of_others_are_shown_as_they_are_and_never_run(
    operator: Browser, rest: Rest
) -> None:
    family = rest.family(name=HOSTILE)
    user, org = family["user_id"], family["org_id"]
    rest.good("PATCH", f"/organizations/{org}", {"name": HOSTILE})
    rest.good("POST", f"/users/{user}/api-keys", {"name": HOSTILE})
    rest.good("POST", f"/users/{user}/reset-quota", {"reason": HOSTILE})
    rest.good("POST", "/admin-keys", {"name": f"{HOSTILE[:40]}{secrets.token_hex(4)}"})
    rest.chat(family["api_key"])
    for path in (
        f"/console/organizations/{org}",
        f"/console/organizations/{org}/edit",
        f"/console/organizations/{org}/delete",
        "/console/organizations",
        f"/console/users?org_id={org}",
        f"/console/users?email={HOSTILE}",
        f"/console/users/{user}",
        f"/console/users/{user}/edit",
        f"/console/users/{user}/journal",
        f"/console/users/{user}/journal?since={HOSTILE}",
        f"/console/usage?org_id={org}&by=user",
        f"/console/usage?org_id={org}&by=key",
        f"/console/usage?month={HOSTILE}",
        f"/console/audit?org_id={org}",
        f"/console/audit?action={HOSTILE}",
        "/console/admin-keys",
        f"/console/sign-in?next={HOSTILE}",
        f"/console/{HOSTILE}",
    ):
        text = operator.get(path).text
        assert "<script>alert" not in text and "<img src=x" not in text, path
        assert "'49" not in text, path


def test_a_key_is_in_the_answer_to_its_making_and_nowhere_else(
    operator: Browser, rest: Rest
) -> None:
    user = rest.family()["user_id"]
    path = f"/console/users/{user}/api-keys/new"
    fields = operator.form(path) | {"name": "laptop", "monthly_limit_usd": "2.50"}
    made = operator.post(path, fields)
    [key] = set(SECRET.findall(made.text))
    assert made.headers["cache-control"] == "no-store"
    assert "curl " in made.text and "from openai import OpenAI" in made.text
    assert rest.chat(key).status_code == 200
    for other in (f"/console/users/{user}", path, f"/console/audit?org_id={_org(rest, user)}"):
        assert not SECRET.search(operator.get(other).text)
    keys = rest.good("GET", f"/users/{user}/api-keys")["data"]
    assert [key["monthly_limit_usd"] for key in keys if key["name"] == "laptop"] == ["2.5"]


def test_sending_a_form_twice_makes_one_key(operator: Browser, rest: Rest) -> None:
    user = rest.family()["user_id"]
    path = f"/console/users/{user}/api-keys/new"
    fields = operator.form(path) | {"name": "twice"}
    first, second = operator.post(path, fields), operator.post(path, fields)
    assert SECRET.findall(first.text) == SECRET.findall(second.text)
    assert len(rest.good("GET", f"/users/{user}/api-keys")["data"]) == 2


def test_rotating_shows_the_new_key_and_lets_the_old_one_live(
    operator: Browser, rest: Rest
) -> None:
    family = rest.family()
    path = f"/console/users/{family['user_id']}/api-keys/{family['key_id']}/rotate"
    shown = operator.send(path, overlap_seconds="3600")
    [fresh] = set(SECRET.findall(shown.text))
    assert fresh != family["api_key"]
    assert rest.chat(fresh).status_code == rest.chat(family["api_key"]).status_code == 200


def test_a_revoked_key_is_refused_at_once(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    user = f"/console/users/{family['user_id']}"
    answer = operator.send(f"{user}/api-keys/{family['key_id']}/revoke")
    assert location(answer) == f"{user}?done=revoked"
    assert rest.chat(family["api_key"]).status_code == 401


def test_a_provider_key_is_written_and_never_shown(operator: Browser, rest: Rest) -> None:
    org = rest.family()["org_id"]
    at = f"/console/organizations/{org}"
    credential = "sk-" + secrets.token_hex(16)
    answer = operator.send(f"{at}/provider-keys/new", provider="openai", credential=credential)
    assert location(answer) == f"{at}?done=stored"
    page = operator.get(at).text
    assert "sk-…" in page and credential not in page
    wrong = operator.send(f"{at}/provider-keys/new", provider="Open AI", credential=credential)
    assert wrong.status_code == 422 and "Provider must be" in wrong.text
    assert credential not in wrong.text
    operator.send(f"{at}/provider-keys/openai/delete")
    assert rest.good("GET", f"/organizations/{org}/provider-keys")["data"] == []


def test_an_organisation_from_its_making_to_its_end(operator: Browser, rest: Rest) -> None:
    made = operator.send(
        "/console/organizations/new",
        name="Demo & Sons",
        monthly_budget_usd="$1,250.50",
        allowed_models="openai/gpt-5*\nsimulator/*",
        requests_per_minute="1,000",
        failure_mode="fail-open",
        fallback_daily_limit_usd="5",
    )
    at = location(made).partition("?")[0]
    org = at.rpartition("/")[2]
    found = rest.good("GET", f"/organizations/{org}")
    assert (found["name"], found["monthly_budget_usd"]) == ("Demo & Sons", "1250.5")
    assert found["allowed_models"] == ["openai/gpt-5*", "simulator/*"]
    assert (found["requests_per_minute"], found["failure_mode"]) == (1000, "fail-open")
    assert "Demo &amp; Sons" in operator.get(at).text and "$1,250.50" in operator.get(at).text

    assert location(operator.send(f"{at}/suspend")) == f"{at}?done=suspended"
    assert rest.good("GET", f"/organizations/{org}")["status"] == "suspended"
    assert location(operator.send(f"{at}/reactivate")) == f"{at}?done=active"
    user = {"email": "ada@example.com", "org_id": org, "monthly_limit_usd": "5"}
    user_id = rest.good("POST", "/users", user)["user_id"]
    rest.good("POST", f"/users/{user_id}/api-keys", {})
    assert "1 user, 1 working API key and 0 provider keys go with it" in (
        operator.get(f"{at}/delete").text
    )
    assert location(operator.send(f"{at}/delete")) == "/console/organizations?done=deleted"
    assert rest("GET", f"/organizations/{org}").status_code == 404


def test_a_change_sends_only_what_the_person_changed(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    path = f"/console/users/{family['user_id']}/edit"
    opened = operator.form(path)
    rest.good("PATCH", f"/users/{family['user_id']}", {"name": "Changed meanwhile"})
    typed = {name.removeprefix("was."): text for name, text in opened.items()}
    assert location(operator.post(path, typed | opened | {"monthly_limit_usd": "7"}))
    found = rest.good("GET", f"/users/{family['user_id']}")
    assert (found["monthly_limit_usd"], found["name"]) == ("7", "Changed meanwhile")


def test_a_limit_is_taken_away_by_emptying_its_field(operator: Browser, rest: Rest) -> None:
    family = rest.family(requests_per_minute=5, allowed_models=["simulator/*"])
    path = f"/console/users/{family['user_id']}/edit"
    opened = operator.form(path)
    typed = {name.removeprefix("was."): text for name, text in opened.items()}
    operator.post(path, typed | opened | {"requests_per_minute": "", "allowed_models": " \n"})
    found = rest.good("GET", f"/users/{family['user_id']}")
    assert (found["requests_per_minute"], found["allowed_models"]) == (None, [])


WRONG: list[tuple[str, dict[str, str], str]] = [
    ("name", {"name": ""}, "Name must have 1 to 200 characters"),
    ("monthly_budget_usd", {"monthly_budget_usd": "plenty"}, "Monthly budget (USD) must be"),
    ("monthly_budget_usd", {"monthly_budget_usd": ""}, "Monthly budget (USD) is required"),
    ("monthly_budget_usd", {"monthly_budget_usd": "9999999"}, "must be at most 4000000 USD"),
    ("requests_per_minute", {"requests_per_minute": "many"}, "must be a whole number"),
    ("allowed_models", {"allowed_models": "x" * 300}, "Allowed models must"),
]


@pytest.mark.parametrize(("field", "typed", "said"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_beside_its_field_and_what_was_typed_stays(
    operator: Browser, field: str, typed: dict[str, str], said: str
) -> None:
    good = {"name": "Kept <as> typed", "monthly_budget_usd": "5"}
    answer = operator.send("/console/organizations/new", **(good | typed))
    assert answer.status_code == 422
    assert f'id="f-{field}-problem"' in answer.text and said in answer.text
    assert 'aria-invalid="true"' in answer.text
    if "name" not in typed:
        assert 'value="Kept &lt;as&gt; typed"' in answer.text


def test_an_address_that_is_taken_is_told_beside_the_field(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    taken = rest.good("GET", f"/users/{family['user_id']}")["email"]
    path = f"/console/users/new?org_id={family['org_id']}"
    fields = {"email": taken, "org_id": family["org_id"], "monthly_limit_usd": "1"}
    answer = operator.post("/console/users/new", operator.form(path) | fields)
    assert answer.status_code == 409
    assert 'id="f-email-problem"' in answer.text


def test_a_user_can_be_suspended_reset_and_deleted(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    at = f"/console/users/{family['user_id']}"
    rest.chat(family["api_key"])
    operator.send(f"{at}/suspend")
    assert rest.chat(family["api_key"]).status_code == 403
    operator.send(f"{at}/reactivate")
    assert rest.chat(family["api_key"]).status_code == 200
    assert operator.send(f"{at}/reset-quota", reason=" ").status_code == 422
    assert location(operator.send(f"{at}/reset-quota", reason="a gift")) == f"{at}?done=reset"
    usage = rest.good("GET", f"/users/{family['user_id']}/usage")
    assert (usage["spent_usd"], usage["total_spent_usd"] != "0") == ("0", True)
    assert "1 working API key goes with the user" in operator.get(f"{at}/delete").text
    gone = location(operator.send(f"{at}/delete"))
    assert gone == f"/console/organizations/{family['org_id']}?done=deleted"
    assert operator.get(at).status_code == 404


def test_an_admin_key_is_shown_once_and_can_be_revoked(operator: Browser, rest: Rest) -> None:
    name = f"grace-{secrets.token_hex(4)}"
    shown = operator.send("/console/admin-keys/new", name=name)
    [key] = set(ADMIN_SECRET.findall(shown.text))
    assert rest.with_key(key).good("GET", "/identity")["name"] == name
    page = operator.get("/console/admin-keys").text
    assert name in page and not ADMIN_SECRET.search(page)
    rows = {row["name"]: row for row in rest.good("GET", "/admin-keys?page_size=1000")["data"]}
    operator.send(f"/console/admin-keys/{rows[name]['admin_key_id']}/revoke")
    assert rest.with_key(key)("GET", "/identity").status_code == 401


def test_usage_downloads_are_what_the_admin_api_gives(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    rest.chat(family["api_key"])
    path = f"/console/usage/download?org_id={family['org_id']}&group_by=model"
    table = operator.get(f"{path}&format=csv")
    assert "attachment" in table.headers["content-disposition"]
    [row] = csv.DictReader(io.StringIO(table.text))
    assert (row["model"], row["request_count"]) == ("simulator/echo", "1")
    line = json.loads(operator.get(f"{path}&format=jsonl").text)
    assert line["spent_usd"] == row["spent_usd"]
    assert operator.get(f"{path}&format=xml").status_code == 404
    assert operator.get("/console/usage/download?format=csv&org_id=org_x").status_code == 404
    every = operator.get("/console/usage/download?format=csv").text
    assert every.startswith("org_id,day,") and row["org_id"] in every


def test_amounts_are_exact_and_times_name_their_zone(operator: Browser, rest: Rest) -> None:
    family = rest.family()
    rest.chat(family["api_key"])
    spent = rest.good("GET", f"/users/{family['user_id']}/usage")["spent_usd"]
    page = operator.get(f"/console/users/{family['user_id']}").text
    assert f"${spent} " in page.replace("<small>", " ").replace("\n", " ").replace("  ", " ")
    assert re.search(r"<time [^>]+>\d+\s\w+\s20\d\d, \d\d:\d\d\sUTC</time>", page)


def test_the_books_and_the_trail_are_verified_on_demand(operator: Browser, rest: Rest) -> None:
    org = rest.family()["org_id"]
    assert "Everything agrees." in operator.get(f"/console/organizations/{org}/verify").text
    assert "Everything agrees." in operator.get(f"/console/audit/verify?org_id={org}").text


def test_lists_go_on_page_by_page(operator: Browser, rest: Rest) -> None:
    org = rest.family()["org_id"]
    for number in range(50):
        body = {"email": f"u{number}@example.com", "org_id": org, "monthly_limit_usd": "1"}
        rest.good("POST", "/users", body)
    first = operator.get(f"/console/users?org_id={org}").text
    more = re.search(r'href="(\?[^"]*page_token=[^"]+)"', first)
    assert more
    second = operator.get("/console/users" + more[1].replace("&amp;", "&")).text
    shown = [re.findall(r'href="/console/users/(user_\w+)"', page) for page in (first, second)]
    assert [len(users) for users in shown] == [50, 1]


def test_an_empty_gateway_says_what_to_do_first(operator: Browser, rest: Rest) -> None:
    fields = {"name": "Empty", "monthly_budget_usd": "1"}
    org = rest.good("POST", "/organizations", fields)["org_id"]
    body = {"name": f"empty-{secrets.token_hex(4)}", "org_id": org}
    bound = Browser(operator.url)
    bound.sign_in(rest.good("POST", "/admin-keys", body)["admin_key"])
    assert "There is no user yet" in bound.get("/console/users").text
    assert "No users yet" in bound.get(f"/console/organizations/{org}").text
    assert "Nothing was spent" in bound.get("/console/usage").text
    assert "New organisation" not in bound.get("/console/organizations").text
    bound.http.close()


def _org(rest: Rest, user: str) -> str:
    return str(rest.good("GET", f"/users/{user}")["org_id"])
