"""gw admin apikey"""

from typing import Annotated

import typer

from cli import show
from cli.client import Client, segment
from cli.options import (
    AsJson,
    Concurrency,
    Key,
    Limit,
    Models,
    Month,
    Rpm,
    Tpm,
    User,
    changes,
    none_or_text,
    session,
    user_path,
)

app = typer.Typer(no_args_is_help=True, help="API keys of users.")

Name = Annotated[str | None, typer.Option("--name", help="What the key is for.")]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="TIME", help="Such as 2027-01-31T00:00:00Z, or `none`."),
]
KeyLimit = Annotated[
    str | None, typer.Option("--limit", help="US dollars a month for this key, or `none`.")
]

_COLUMNS = (
    ("ID", "key_id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("BEGINS", "prefix"),
    ("ENDS", "suffix"),
    ("LIMIT", "monthly_limit_usd"),
    ("CREATED", "created_at"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
)


@app.command(epilog="Example: gw admin apikey create ada@example.com --name laptop")
def create(
    context: typer.Context,
    user: User,
    name: Name = None,
    expires: Expires = None,
    limit: KeyLimit = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a user. It is shown here and never again."""
    client = session(context).admin()
    body = _body(name, expires, limit, models, rpm, tpm, concurrency)
    show.one(client.post(f"{user_path(client, user)}/api-keys", body), as_json_=as_json)
    show.note("Keep the key now; it cannot be shown again.")


@app.command(epilog="Example: gw admin apikey get ada@example.com key_8sJ2…")
def get(context: typer.Context, user: User, key: Key, as_json: AsJson = False) -> None:
    """Describe one key."""
    client = session(context).admin()
    show.one(client.get(_path(client, user, key)), as_json_=as_json)


@app.command("list", epilog="Example: gw admin apikey list ada@example.com --status active")
def list_(
    context: typer.Context,
    user: User,
    status: Annotated[str | None, typer.Option("--status", help="active or revoked.")] = None,
    limit: Limit = 0,
    as_json: AsJson = False,
) -> None:
    """List a user's keys, newest first."""
    client = session(context).admin()
    found = client.each(f"{user_path(client, user)}/api-keys", limit=limit, status=status)
    show.rows(found, _COLUMNS, as_json_=as_json)


@app.command(epilog="Example: gw admin apikey update ada@example.com key_8sJ2… --limit 5")
def update(
    context: typer.Context,
    user: User,
    key: Key,
    name: Name = None,
    expires: Expires = None,
    limit: KeyLimit = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; it holds for the next request."""
    client = session(context).admin()
    body = _body(name, expires, limit, models, rpm, tpm, concurrency)
    show.one(client.patch(_path(client, user, key), body), as_json_=as_json)


@app.command(epilog="Example: gw admin apikey revoke ada@example.com key_8sJ2…")
def revoke(context: typer.Context, user: User, key: Key, as_json: AsJson = False) -> None:
    """End a key for good; the next request with it is refused."""
    client = session(context).admin()
    show.one(client.delete(_path(client, user, key)), as_json_=as_json)


@app.command(epilog="Example: gw admin apikey rotate ada@example.com key_8sJ2… --overlap 3600")
def rotate(
    context: typer.Context,
    user: User,
    key: Key,
    overlap: Annotated[
        int, typer.Option("--overlap", min=0, help="Seconds for which the old key still works.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a new key like the old one. It is shown here and never again."""
    client = session(context).admin()
    path = f"{_path(client, user, key)}/rotate"
    show.one(client.post(path, {"overlap_seconds": overlap}), as_json_=as_json)
    show.note("Keep the key now; it cannot be shown again.")


@app.command(epilog="Example: gw admin apikey usage ada@example.com key_8sJ2…")
def usage(
    context: typer.Context, user: User, key: Key, month: Month = None, as_json: AsJson = False
) -> None:
    """Show what a key spent and holds."""
    client = session(context).admin()
    show.one(client.get(f"{_path(client, user, key)}/usage", month=month), as_json_=as_json)


def _path(client: Client, user: str, key: str) -> str:
    return f"{user_path(client, user)}/api-keys/{segment(key)}"


def _body(
    name: str | None,
    expires: str | None,
    limit: str | None,
    models: list[str] | None,
    rpm: str | None,
    tpm: str | None,
    concurrency: str | None,
) -> dict[str, object]:
    return {
        **changes(models, rpm, tpm, concurrency, name=name),
        **none_or_text("expires_at", expires),
        **none_or_text("monthly_limit_usd", limit),
    }
