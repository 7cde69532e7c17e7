"""gw admin admin-key"""

from typing import Annotated

import typer

from cli import show
from cli.client import segment
from cli.options import AsJson, Limit, find_org, session

app = typer.Typer(no_args_is_help=True, help="Named keys for operators.")

_COLUMNS = (
    ("ID", "admin_key_id"),
    ("NAME", "name"),
    ("ORGANISATION", "org_id"),
    ("STATUS", "status"),
    ("CREATED", "created_at"),
    ("REVOKED", "revoked_at"),
)


@app.command(epilog='Example: gw admin admin-key create ada --org "Demo Corporation"')
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who it is, in the audit trail.")],
    org: Annotated[
        str | None, typer.Option("--org", help="Only this organisation; else the whole platform.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for an operator. It is shown here and never again."""
    client = session(context).admin()
    body = {"name": name, "org_id": find_org(client, org) if org else None}
    show.one(client.post("/admin/admin-keys", body), as_json_=as_json)
    show.note("Keep the key now; it cannot be shown again.")


@app.command("list", epilog="Example: gw admin admin-key list")
def list_(context: typer.Context, limit: Limit = 0, as_json: AsJson = False) -> None:
    """List the named admin keys."""
    found = session(context).admin().each("/admin/admin-keys", limit=limit)
    show.rows(found, _COLUMNS, as_json_=as_json)


@app.command(epilog="Example: gw admin admin-key revoke adminkey_5tQ1…")
def revoke(
    context: typer.Context,
    admin_key_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """End an admin key for good."""
    client = session(context).admin()
    show.one(client.delete(f"/admin/admin-keys/{segment(admin_key_id)}"), as_json_=as_json)
