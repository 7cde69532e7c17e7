"""What was spent, by whom and on what; and the proof that all of it agrees."""

import csv
import io
import json
from decimal import Decimal

from tests.edge.world import Member, World
from tests.edge_admin.rest import Rest


def settle(gateway: World, family: dict[str, str]) -> None:
    gateway.usage(Member(family["org_id"], family["user_id"], family["key_id"], ""))


def test_usage_is_the_same_sum_however_it_is_asked_for(gateway: World, rest: Rest) -> None:
    family = rest.family()
    org, user = family["org_id"], family["user_id"]
    for text in ("one", "one two", "one two three"):
        assert rest.chat(family["api_key"], text).status_code == 200
    settle(gateway, family)
    usage = rest.good("GET", f"/users/{user}/usage")
    spent = usage["spent_usd"]
    assert Decimal(spent) > 0 and usage["request_count"] == 3
    assert Decimal(usage["remaining_usd"]) + Decimal(spent) == Decimal(50)
    assert usage["resets_at"].endswith("-01T00:00:00Z")
    key_path = f"/users/{user}/api-keys/{family['key_id']}/usage"
    assert rest.good("GET", key_path)["spent_usd"] == spent
    assert rest.good("GET", f"/organizations/{org}/usage")["spent_usd"] == spent
    for group in ("day", "user", "key", "model"):
        (row,) = rest.good("GET", f"/usage?org_id={org}&group_by={group}")["data"]
        assert (row["spent_usd"], row["request_count"]) == (spent, 3)
    (line,) = rest("GET", f"/usage?org_id={org}&format=jsonl").text.splitlines()
    assert json.loads(line)["spent_usd"] == spent
    table = csv.DictReader(io.StringIO(rest("GET", f"/usage?org_id={org}&format=csv").text))
    (cells,) = list(table)
    assert (cells["spent_usd"], cells["model"]) == (spent, "simulator/echo")
    metrics = rest.good("GET", f"/metrics?org_id={org}")
    assert metrics["totals"]["spent_usd"] == spent
    assert metrics["totals"]["users"] == 1
    assert metrics["api_keys"] == {"total": 1, "active": 1, "revoked": 0}
    assert [top["user_id"] for top in metrics["top_users_by_cost"]] == [user]
    assert [top["email"] for top in metrics["top_users_by_requests"]] == [family["email"]]
    kinds = [entry["kind"] for entry in rest.good("GET", f"/organizations/{org}/journal")["data"]]
    assert kinds.count("settle") == 3
    lines = rest("GET", f"/organizations/{org}/journal?format=jsonl").text.splitlines()
    booked = [json.loads(line) for line in lines]
    assert sum(Decimal(entry["spent_usd"]) for entry in booked) == Decimal(spent)
    assert rest.good("GET", f"/organizations/{org}/verify")["ok"] is True


def test_a_reset_forgives_the_user_and_keeps_the_books(gateway: World, rest: Rest) -> None:
    family = rest.family()
    rest.chat(family["api_key"])
    settle(gateway, family)
    path = f"/users/{family['user_id']}"
    spent = rest.good("GET", f"{path}/usage")["spent_usd"]
    after = rest.good("POST", f"{path}/reset-quota", {"reason": "goodwill"})
    assert (after["spent_usd"], after["total_spent_usd"]) == ("0", spent)
    assert rest.good("GET", f"/organizations/{family['org_id']}/usage")["spent_usd"] == spent
    journal = rest.good("GET", f"/organizations/{family['org_id']}/journal")["data"]
    assert (journal[-1]["kind"], journal[-1]["reason"]) == ("reset", "goodwill")


def test_every_write_is_in_the_trail_with_actor_and_both_states(rest: Rest) -> None:
    family = rest.family()
    named = rest.good(
        "POST", "/admin-keys", {"name": f"grace of {family['org_id']}", "org_id": family["org_id"]}
    )
    grace = rest.with_key(named["admin_key"])
    changed = grace("PATCH", f"/users/{family['user_id']}", {"monthly_limit_usd": "7"})
    path = f"/audit?org_id={family['org_id']}"
    newest = rest.good("GET", f"{path}&order=desc&action=user.&page_size=1")["data"][0]
    assert (newest["actor"], newest["target"]) == (named["name"], family["user_id"])
    assert newest["request_id"] == changed.headers["x-request-id"]
    assert newest["before"] != newest["after"]
    oldest = rest.good("GET", path)["data"]
    assert [entry["action"].split(".")[0] for entry in oldest[:3]] == [
        "organization",
        "user",
        "api_key",
    ]
    exported = rest("GET", f"{path}&format=jsonl").text.splitlines()
    assert [json.loads(line)["entry_id"] for line in exported] == [
        entry["entry_id"] for entry in oldest
    ]
    assert family["api_key"] not in rest("GET", path).text
    assert rest.good("GET", f"/audit/verify?org_id={family['org_id']}")["ok"] is True
    assert rest.good("GET", "/audit/verify")["ok"] is True


def test_health_names_every_service_and_how_fast_it_answers(rest: Rest) -> None:
    told = rest.good("GET", "/health")
    assert told["status"] == "ok"
    assert set(told["services"]) == {"edge", "auth", "quota"}
    assert told["services"]["auth"]["latency_ms"] > 0
    assert told["services"]["quota"]["kv_latency_ms"] > 0
    assert rest.good("GET", "/identity") == {"name": "admin", "org_id": None}
