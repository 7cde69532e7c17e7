"""gw admin provider-key"""

import sys
from typing import Annotated

import typer

from cli import show
from cli.client import segment
from cli.failure import USAGE, Failure
from cli.options import AsJson, Limit, Org, org_path, session

app = typer.Typer(no_args_is_help=True, help="An organisation's own keys for providers.")

Provider = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="As in the catalog, such as openai.")
]

_COLUMNS = (
    ("PROVIDER", "provider"),
    ("KEY", "hint"),
    ("FINGERPRINT", "fingerprint"),
    ("CREATED", "created_at"),
)


@app.command("set", epilog='Example: gw admin provider-key set "Demo Corporation" openai < key.txt')
def set_(context: typer.Context, org: Org, provider: Provider, as_json: AsJson = False) -> None:
    """Store a provider's key, asked for here or read from a pipe. It cannot be read back."""
    client = session(context).admin()
    path = f"{org_path(client, org)}/provider-keys/{segment(provider)}"
    if sys.stdin.isatty():
        credential = str(typer.prompt("Key", hide_input=True, err=True))
    else:
        credential = sys.stdin.read()
    if not credential.strip():
        raise Failure("no key was given", USAGE)
    show.one(client.put(path, {"credential": credential.strip()}), as_json_=as_json)


@app.command("list", epilog='Example: gw admin provider-key list "Demo Corporation"')
def list_(context: typer.Context, org: Org, limit: Limit = 0, as_json: AsJson = False) -> None:
    """Describe an organisation's provider keys."""
    client = session(context).admin()
    found = client.each(f"{org_path(client, org)}/provider-keys", limit=limit)
    show.rows(found, _COLUMNS, as_json_=as_json)


@app.command(epilog='Example: gw admin provider-key delete "Demo Corporation" openai')
def delete(context: typer.Context, org: Org, provider: Provider, as_json: AsJson = False) -> None:
    """Remove one; requests then use the gateway's own credential for the provider."""
    client = session(context).admin()
    path = f"{org_path(client, org)}/provider-keys/{segment(provider)}"
    show.one(client.delete(path), as_json_=as_json)


@app.command(epilog="Example: gw admin provider-key rewrap")
def rewrap(context: typer.Context, as_json: AsJson = False) -> None:
    """Encrypt every provider key again under the newest master key."""
    show.one(session(context).admin().post("/admin/provider-keys/rewrap"), as_json_=as_json)
