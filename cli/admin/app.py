"""gw admin, joined from its groups."""

import typer

from cli.admin import admin_key, apikey, org, overview, provider_key, records, user
from cli.options import Prod, session

app = typer.Typer(
    no_args_is_help=True, help="Organisations, users, keys, usage, audit: needs ADMIN_API_KEY."
)
app.add_typer(org.app, name="org")
app.add_typer(user.app, name="user")
app.add_typer(apikey.app, name="apikey")
app.add_typer(provider_key.app, name="provider-key")
app.add_typer(admin_key.app, name="admin-key")
overview.add_to(app)
records.add_to(app)


@app.callback()
def admin(context: typer.Context, prod: Prod = False) -> None:
    session(context, prod=prod)
