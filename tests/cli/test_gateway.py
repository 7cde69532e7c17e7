"""gw and a whole gateway: set-up, every admin command, exports, exit codes."""

import csv
import io
import json
import socket
import threading
from decimal import Decimal
from pathlib import Path

import pytest
import redis

from services.common import keys
from tests.cli.conftest import Gw
from tests.edge.world import ADMIN_KEY, Member, World


def test_setup_chat_usage_and_cleanup_as_a_newcomer_does_them(here: Gw, gateway: World) -> None:
    made = here("setup", "--json").json
    assert [row["organization"] for row in made] == [
        "Demo Corporation",
        "Demo Corporation",
        "Test Organization",
    ]
    assert len({row["monthly_limit_usd"] for row in made}) == 3
    assert all(row["api_key"].startswith("gw_live_") for row in made)
    again = here("setup", "--json").json
    assert [row["key_id"] for row in again] == [row["key_id"] for row in made]
    assert [row["api_key"] for row in again] == [None, None, None]
    assert here("chat", "Hello", "--model", "simulator/echo").out == "Hello\n"
    streamed = here("chat", "Hello again", "--model", "simulator/echo", "--stream")
    assert (streamed.code, streamed.out) == (0, "Hello again\n")
    alice = made[0]
    gateway.usage(Member(alice["org_id"], alice["user_id"], alice["key_id"], ""))
    usage = here("admin", "user", "usage", alice["email"], "--json").json
    tokens = usage["input_tokens"] + usage["output_tokens"]
    assert Decimal(usage["spent_usd"]) == tokens * Decimal("0.00001") > 0
    assert f"${usage['spent_usd']}" in here("admin", "user", "usage", alice["email"]).out
    told = here("cleanup")
    assert "Demo Corporation" in told.out and "--confirm" in told.error
    assert len(here("admin", "org", "list", "--json").json) == 2
    done = here("cleanup", "--confirm", "--json").json
    assert [row["deleted"] for row in done] == [True, True]
    assert here("admin", "org", "list", "--json").json == []
    assert here("chat", "Hello").code == 5
    assert here("cleanup", "--confirm").code == 0


def test_setup_makes_a_new_demo_key_when_the_kept_one_is_gone(here: Gw, tmp_path: Path) -> None:
    first = here("setup", "--json").json
    kept = tmp_path / "data" / "demo_api_key"
    assert kept.read_text().strip() == first[0]["api_key"]
    kept.unlink()
    second = here("setup", "--json").json
    assert second[0]["api_key"] and second[0]["key_id"] != first[0]["key_id"]
    assert [row["api_key"] for row in second[1:]] == [None, None]
    here("admin", "apikey", "revoke", second[0]["user_id"], second[0]["key_id"])
    third = here("setup", "--json").json
    assert kept.read_text().strip() == (third[0]["api_key"] or kept.read_text().strip())
    assert here("chat", "Hello", "--model", "simulator/echo").out == "Hello\n"


def test_organizations(here: Gw) -> None:
    made = here("admin", "org", "create", "Acme Inc", "100.50", "--rpm", "60", "--json").json
    assert (made["monthly_budget_usd"], made["requests_per_minute"]) == ("100.5", 60)
    told = here("admin", "org", "get", "Acme Inc").out
    assert "$100.5" in told and made["org_id"] in told
    body = ("--budget", "20", "--rpm", "none", "--model", "openai/*", "--name", "Acme")
    changed = here("admin", "org", "update", "Acme Inc", *body, "--json").json
    assert (changed["monthly_budget_usd"], changed["requests_per_minute"]) == ("20", None)
    assert changed["allowed_models"] == ["openai/*"]
    assert (
        here("admin", "org", "update", "Acme", "--model", "any", "--json").json["allowed_models"]
        == []
    )
    assert here("admin", "org", "suspend", "Acme", "--json").json["status"] == "suspended"
    assert len(here("admin", "org", "list", "--status", "suspended", "--json").json) == 1
    assert here("admin", "org", "activate", "Acme", "--json").json["status"] == "active"
    assert here("admin", "org", "usage", "Acme", "--json").json["limit_usd"] == "20"
    here("admin", "user", "create", "ada@acme.example", "Acme", "5")
    assert "ada@acme.example" in here("admin", "org", "users", "Acme").out
    only = here("admin", "org", "delete", "Acme")
    assert "--confirm" in only.error and here("admin", "org", "get", "Acme").code == 0
    assert here("admin", "org", "delete", "Acme", "--confirm", "--json").json["users_deleted"] == 1
    assert here("admin", "org", "get", "Acme").code == 4


def test_users(here: Gw) -> None:
    here("admin", "org", "create", "Acme", "100")
    made = here(
        "admin", "user", "create", "ada@acme.example", "Acme", "5", "--name", "Ada", "--json"
    )
    assert made.json["monthly_limit_usd"] == "5"
    user = made.json["user_id"]
    assert here("admin", "user", "get", user, "--json").json["email"] == "ada@acme.example"
    changed = here("admin", "user", "update", "ada@acme.example", "--limit", "7.25", "--json").json
    assert changed["monthly_limit_usd"] == "7.25"
    assert here("admin", "user", "suspend", user, "--json").json["status"] == "suspended"
    assert here("admin", "user", "activate", user, "--json").json["status"] == "active"
    listed = here("admin", "user", "list", "--org", "Acme", "--email", "ADA@acme.example", "--json")
    assert [row["user_id"] for row in listed.json] == [user]
    reset = here("admin", "user", "reset-quota", user, "goodwill", "--json").json
    assert reset["spent_usd"] == "0"
    assert here("admin", "user", "delete", user, "--confirm", "--json").json["deleted"] is True
    assert here("admin", "user", "get", user).code == 4


def test_api_keys(here: Gw) -> None:
    here("admin", "org", "create", "Acme", "100")
    here("admin", "user", "create", "ada@acme.example", "Acme", "5")
    user = "ada@acme.example"
    body = ("--name", "laptop", "--limit", "1", "--expires", "2030-01-01T00:00:00Z")
    made = here("admin", "apikey", "create", user, *body, "--json")
    key = made.json["key_id"]
    assert "cannot be shown again" in made.error
    assert here("chat", "Hi", "--model", "fast", "--api-key", made.json["api_key"]).out == "Hi\n"
    assert made.json["api_key"] not in here("admin", "apikey", "get", user, key).out
    body = ("--limit", "none", "--expires", "none", "--tpm", "1000")
    changed = here("admin", "apikey", "update", user, key, *body, "--json").json
    assert (changed["monthly_limit_usd"], changed["expires_at"]) == (None, None)
    rotated = here("admin", "apikey", "rotate", user, key, "--overlap", "60", "--json").json
    assert rotated["rotated_from"] == key
    assert here("admin", "apikey", "usage", user, key, "--json").json["key_id"] == key
    assert here("admin", "apikey", "revoke", user, key, "--json").json["status"] == "revoked"
    active = here("admin", "apikey", "list", user, "--status", "active", "--json").json
    assert [row["key_id"] for row in active] == [rotated["key_id"]]
    assert key in here("admin", "apikey", "list", user).out


def test_provider_keys_come_from_standard_input_and_admin_keys_have_names(here: Gw) -> None:
    here("admin", "org", "create", "Acme", "100")
    secret = "sk-canary-abcdefgh"
    told = here("admin", "provider-key", "set", "Acme", "openai", typed=f"{secret}\n")
    assert told.code == 0 and secret not in told.out
    assert here("admin", "provider-key", "set", "Acme", "openai", typed="\n").code == 2
    (one,) = here("admin", "provider-key", "list", "Acme", "--json").json
    assert one["provider"] == "openai"
    assert here("admin", "provider-key", "rewrap").code == 0
    assert here("admin", "provider-key", "delete", "Acme", "openai").code == 0
    made = here("admin", "admin-key", "create", "grace", "--org", "Acme", "--json").json
    assert made["admin_key"].startswith("gw_admin_")
    assert "grace" in here("admin", "admin-key", "list").out
    assert here("admin", "admin-key", "revoke", made["admin_key_id"]).code == 0
    assert here("admin", "whoami", "--json").json == {"name": "admin", "org_id": None}


def test_overview_records_and_exports(here: Gw, gateway: World, tmp_path: Path) -> None:
    demo = here("setup", "--json").json[0]
    here("chat", "Hello", "--model", "simulator/echo")
    gateway.usage(Member(demo["org_id"], demo["user_id"], demo["key_id"], ""))
    org = ("--org", "Demo Corporation")
    assert here("admin", "health").code == 0
    assert "alice@demo.example" in here("admin", "metrics").out
    totals = here("admin", "metrics", *org, "--json").json["totals"]
    assert (totals["users"], totals["request_count"]) == (2, 1)
    assert "user.create" in here("admin", "audit", *org).out
    assert here("admin", "audit", *org, "--limit", "1", "--json").json[0]["entry_id"]
    kinds = [row["kind"] for row in here("admin", "journal", "Demo Corporation", "--json").json]
    assert kinds[0] == "settle"  # the newest
    (row,) = here("admin", "usage", *org, "--by", "model", "--json").json
    assert (row["model"], row["spent_usd"]) == ("simulator/echo", totals["spent_usd"])
    assert here("admin", "usage", *org, "--export", "usage.csv", "--by", "all").code == 0
    with Path("usage.csv").open() as file:
        (cells,) = csv.DictReader(file)
    assert cells["spent_usd"] == totals["spent_usd"]
    piped = here("admin", "usage", *org, "--export", "-", "--format", "jsonl", "--by", "user")
    assert json.loads(piped.out)["user_id"] == demo["user_id"]
    assert here("admin", "audit", *org, "--export", "audit.jsonl").code == 0
    assert here("admin", "journal", "Demo Corporation", "--export", "journal.jsonl").code == 0
    assert len(Path("journal.jsonl").read_text().splitlines()) == len(kinds)
    proofs = here("admin", "verify", "--json")
    assert proofs.code == 0
    assert {proof["org_id"] for proof in proofs.json} >= {demo["org_id"], None}
    assert here("admin", "verify", "Demo Corporation").code == 0
    assert list(tmp_path.glob("*.part")) == []


def test_prod_is_another_gateway_with_another_kept_key(
    here: Gw, gateway: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GATEWAY_PROD_URL", gateway.url)
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")
    assert here("setup").code == 3
    made = here("setup", "--prod", "--json").json
    kept = [path.name for path in (tmp_path / "data").iterdir()]
    assert kept == ["demo_api_key.127.0.0.1"]
    assert here("chat", "Hello", "--model", "fast", "--prod").out == "Hello\n"
    for command in (("admin", "--prod", "org", "list"), ("--prod", "admin", "org", "list")):
        assert made[0]["org_id"] in here(*command).out
    assert here("cleanup", "--prod", "--confirm").code == 0
    assert list((tmp_path / "data").iterdir()) == []


def test_an_export_that_breaks_off_leaves_no_file(gw: Gw, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                connection.sendall(head + b'8\r\n{"a":1}\n\r\n')

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "admin_api_key").write_text("k" * 40)
        told = gw("--url", url, "admin", "audit", "--export", "audit.jsonl")
        thread.join(10)
    assert (told.code, told.error) == (3, "error: the gateway broke off before the end\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_pipe_gets_no_colours_and_nothing_is_cut_off(here: Gw) -> None:
    name = "A very long name of an organisation " * 5
    here("admin", "org", "create", name.strip(), "1")
    told = here("admin", "org", "list").out
    assert name.strip() in told and "\x1b" not in told


def test_a_broken_ledger_is_exit_code_6_and_says_where(here: Gw, kv_url: str) -> None:
    demo = here("setup", "--json").json[0]
    with redis.Redis.from_url(kv_url, protocol=3) as client:
        client.hset(keys.org_quota(demo["org_id"]), "2026-01:spent", "5")
    told = here("admin", "verify", "Demo Corporation")
    assert told.code == 6
    assert "org" in told.error and "spent" in told.error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("admin", "user", "get", "user_nobody"), 4, "HTTP 404"),
        (("admin", "user", "get", "nobody@example.com"), 4, "no user"),
        (("admin", "org", "get", "Nobody Ltd"), 4, "no organisation"),
        (("admin", "org", "create", "Acme", "-1"), 2, "-1"),
        (("admin", "org", "create", "Acme", "lots"), 1, "monthly_budget_usd"),
        (("admin", "org", "create", "Acme", "1", "--rpm", "x"), 2, "requests_per_minute"),
        (("admin", "org", "create", "Acme", "1", "--failure-mode", "x"), 1, "failure_mode"),
        (("admin", "usage", "--month", "2026-13", "--org", "org_x"), 1, "month"),
        (("admin", "audit", "--export", "no/such/folder/file"), 2, "cannot write"),
        (("chat", "Hi", "--api-key", "gw_live_wrong", "--model", "fast"), 5, "API key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_refusals_are_one_line_with_an_exit_code(
    here: Gw, arguments: tuple[str, ...], code: int, words: str
) -> None:
    told = here(*arguments)
    assert (told.code, told.out) == (code, "")
    assert told.error.startswith("error: ") and told.error.count("\n") == 1
    assert words in told.error


def test_e2_no_secret_is_in_the_gateways_log(here: Gw, gateway_log: io.StringIO) -> None:
    made = here("setup", "--json").json
    here("admin", "provider-key", "set", "Demo Corporation", "openai", typed="sk-canary-provider")
    named = here("admin", "admin-key", "create", "canary", "--json").json["admin_key"]
    here("chat", "a private question", "--model", "simulator/echo")
    here("chat", "Hi", "--api-key", "gw_live_canary_wrong")
    secrets = [ADMIN_KEY, named, "sk-canary-provider", "a private question", "gw_live_canary_wrong"]
    log = gateway_log.getvalue()
    assert "/admin/users" in log
    assert [secret for secret in [*secrets, made[0]["api_key"]] if secret in log] == []


def test_a_name_that_two_organizations_have_is_not_guessed(here: Gw) -> None:
    here("admin", "org", "create", "Twin", "1")
    here("admin", "org", "create", "Twin", "2")
    told = here("admin", "org", "delete", "Twin", "--confirm")
    assert told.code == 1 and "give one of org_" in told.error
    assert len(here("admin", "org", "list", "--json").json) == 2


def test_an_unknown_model_and_a_used_up_budget_are_told_to_the_key_holder(here: Gw) -> None:
    made = here("setup", "--json").json
    unknown = here("chat", "Hi", "--model", "nobody/nothing")
    assert (unknown.code, "does not exist" in unknown.error) == (4, True)
    here("admin", "user", "update", made[0]["email"], "--limit", "0")
    refused = here("chat", "Hi", "--model", "simulator/echo")
    assert refused.code == 1 and "HTTP 429" in refused.error
