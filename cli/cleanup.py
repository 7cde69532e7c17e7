"""gw cleanup: takes away what gw setup made, and says first what that is."""

import typer

from cli import show
from cli.options import AsJson, Confirm, Prod, session
from cli.setup import ORGANIZATIONS

_COLUMNS = (
    ("ORGANISATION", "name"),
    ("ID", "org_id"),
    ("USERS", "users_deleted"),
    ("API KEYS", "api_keys_revoked"),
    ("PROVIDER KEYS", "provider_keys_deleted"),
    ("DELETED", "deleted"),
)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: gw cleanup --confirm")(cleanup)


def cleanup(
    context: typer.Context,
    confirm: Confirm = False,
    prod: Prod = False,
    as_json: AsJson = False,
) -> None:
    """Delete the organisations of `gw setup`, with users and keys. Usage stays readable."""
    chosen = session(context, prod=prod)
    target = chosen.target()
    client = chosen.admin()
    found = [org for org in client.each("/admin/organizations") if org["name"] in ORGANIZATIONS]
    gone = [
        {"name": org["name"]}
        | client.delete(
            f"/admin/organizations/{org['org_id']}", validate_only=str(not confirm).lower()
        )
        for org in found
    ]
    if confirm:
        target.demo_key_file.unlink(missing_ok=True)
    show.rows(gone, _COLUMNS, as_json_=as_json)
    if gone and not confirm:
        show.note("Nothing was deleted; add --confirm to delete it.")
