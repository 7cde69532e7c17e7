"""gw setup: two organisations, three users and a key for each; safe to repeat.

What exists is found by name and e-mail address and left as it is; only what is missing is made.
"""

from dataclasses import dataclass
from typing import Any

import typer

from cli import show
from cli.client import Client
from cli.options import AsJson, Prod, session
from cli.settings import Target

KEY_NAME = "gw setup"


@dataclass(frozen=True, slots=True)
class DemoUser:
    org: str
    email: str
    name: str
    monthly_limit_usd: str


ORGANIZATIONS = {"Demo Corporation": "100", "Test Organization": "20"}
USERS = (
    DemoUser("Demo Corporation", "alice@demo.example", "Alice", "25"),
    DemoUser("Demo Corporation", "bob@demo.example", "Bob", "5"),
    DemoUser("Test Organization", "carol@test.example", "Carol", "1"),
)
"""The first one's key is kept for `gw chat`."""

_COLUMNS = (
    ("ORGANISATION", "organization"),
    ("USER", "email"),
    ("LIMIT", "monthly_limit_usd"),
    ("API KEY", "shown"),
)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: gw setup")(setup)


def setup(context: typer.Context, prod: Prod = False, as_json: AsJson = False) -> None:
    """Make demo organisations, users and keys; each key is shown once. Safe to repeat."""
    chosen = session(context, prod=prod)
    target = chosen.target()
    client = chosen.admin()
    orgs = {name: _organization(client, name) for name in ORGANIZATIONS}
    made = [_user(client, target, user, orgs[user.org], user is USERS[0]) for user in USERS]
    if as_json:
        show.as_json(made)
        return
    show.rows([row | {"shown": _shown(row)} for row in made], _COLUMNS, as_json_=False)
    if any(row["api_key"] for row in made):
        show.note("Keep the keys now; they cannot be shown again.")
    flag = " --prod" if target.prod else ""
    show.note(f'Next: gw chat "Hello"{flag}   (with the key of {USERS[0].email})')


def _organization(client: Client, name: str) -> str:
    for org in client.each("/admin/organizations"):
        if org["name"] == name:
            return str(org["org_id"])
    body = {"name": name, "monthly_budget_usd": ORGANIZATIONS[name]}
    return str(client.post("/admin/organizations", body)["org_id"])


def _user(
    client: Client, target: Target, wanted: DemoUser, org_id: str, demo: bool
) -> dict[str, Any]:
    known = list(client.each("/admin/users", org_id=org_id, email=wanted.email))
    user = known[0] if known else _new_user(client, wanted, org_id)
    path = f"/admin/users/{user['user_id']}/api-keys"
    keys = [key for key in client.each(path, status="active") if key["name"] == KEY_NAME]
    row = {
        "organization": wanted.org,
        "org_id": org_id,
        "email": user["email"],
        "user_id": user["user_id"],
        "monthly_limit_usd": user["monthly_limit_usd"],
    }
    kept = target.demo_key if demo else ""
    if keys and (not demo or any(_is(kept, key) for key in keys)):
        key = next((key for key in keys if _is(kept, key)), keys[0])
        return row | {"key_id": key["key_id"], "api_key": None, "suffix": key["suffix"]}
    key = client.post(path, {"name": KEY_NAME})
    if demo:
        target.keep_demo_key(str(key["api_key"]))
    return row | {"key_id": key["key_id"], "api_key": key["api_key"], "suffix": key["suffix"]}


def _new_user(client: Client, wanted: DemoUser, org_id: str) -> dict[str, Any]:
    return client.post(
        "/admin/users",
        {
            "email": wanted.email,
            "org_id": org_id,
            "name": wanted.name,
            "monthly_limit_usd": wanted.monthly_limit_usd,
        },
    )


def _is(secret: str, key: dict[str, Any]) -> bool:
    """Whether a kept key is the one described."""
    return bool(secret) and secret.startswith(key["prefix"]) and secret.endswith(key["suffix"])


def _shown(row: dict[str, Any]) -> str:
    return str(row["api_key"] or f"made before, ends in {row['suffix']}")
