"""gw admin user"""

from typing import Annotated

import typer

from cli import show
from cli.admin.org import USER_COLUMNS
from cli.options import (
    AsJson,
    Concurrency,
    Confirm,
    Limit,
    Models,
    Month,
    Org,
    Rpm,
    Tpm,
    User,
    changes,
    find_org,
    session,
    user_path,
)

app = typer.Typer(no_args_is_help=True, help="Users and their limits.")

Name = Annotated[str | None, typer.Option("--name", help="What people call the user.")]


@app.command(epilog='Example: gw admin user create ada@example.com "Demo Corporation" 25')
def create(
    context: typer.Context,
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    org: Org,
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="US dollars a month.")],
    name: Name = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    as_json: AsJson = False,
) -> None:
    """Make a user in an organisation, with a monthly limit."""
    client = session(context).admin()
    body = changes(
        models,
        rpm,
        tpm,
        concurrency,
        email=email,
        org_id=find_org(client, org),
        monthly_limit_usd=limit,
        name=name,
    )
    show.one(client.post("/admin/users", body), as_json_=as_json)


@app.command(epilog="Example: gw admin user get ada@example.com")
def get(context: typer.Context, user: User, as_json: AsJson = False) -> None:
    """Show one user."""
    client = session(context).admin()
    show.one(client.get(user_path(client, user)), as_json_=as_json)


@app.command("list", epilog='Example: gw admin user list --org "Demo Corporation" --json')
def list_(
    context: typer.Context,
    org: Annotated[str | None, typer.Option("--org", help="Only of this organisation.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="active or suspended.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Only with this address.")] = None,
    limit: Limit = 0,
    as_json: AsJson = False,
) -> None:
    """List users."""
    client = session(context).admin()
    org_id = find_org(client, org) if org else None
    found = client.each("/admin/users", limit=limit, org_id=org_id, status=status, email=email)
    show.rows(found, USER_COLUMNS, as_json_=as_json)


@app.command(epilog="Example: gw admin user update ada@example.com --limit 50 --model 'openai/*'")
def update(
    context: typer.Context,
    user: User,
    email: Annotated[str | None, typer.Option("--email", help="A new address.")] = None,
    limit: Annotated[str | None, typer.Option("--limit", help="US dollars a month.")] = None,
    name: Name = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; it holds for the next request."""
    body = changes(models, rpm, tpm, concurrency, email=email, monthly_limit_usd=limit, name=name)
    client = session(context).admin()
    show.one(client.patch(user_path(client, user), body), as_json_=as_json)


@app.command(epilog="Example: gw admin user suspend ada@example.com")
def suspend(context: typer.Context, user: User, as_json: AsJson = False) -> None:
    """Refuse every request of a user until activated again."""
    client = session(context).admin()
    show.one(client.patch(user_path(client, user), {"status": "suspended"}), as_json_=as_json)


@app.command(epilog="Example: gw admin user activate ada@example.com")
def activate(context: typer.Context, user: User, as_json: AsJson = False) -> None:
    """Let a suspended user work again."""
    client = session(context).admin()
    show.one(client.patch(user_path(client, user), {"status": "active"}), as_json_=as_json)


@app.command(epilog="Example: gw admin user delete ada@example.com --confirm")
def delete(
    context: typer.Context, user: User, confirm: Confirm = False, as_json: AsJson = False
) -> None:
    """Delete a user with all API keys. Usage and journal stay readable."""
    client = session(context).admin()
    told = client.delete(user_path(client, user), validate_only=str(not confirm).lower())
    show.one(told, as_json_=as_json)
    if not confirm:
        show.note("Nothing was deleted; add --confirm to delete it.")


@app.command(epilog="Example: gw admin user usage ada@example.com")
def usage(context: typer.Context, user: User, month: Month = None, as_json: AsJson = False) -> None:
    """Show what a user spent, holds and has left."""
    client = session(context).admin()
    show.one(client.get(f"{user_path(client, user)}/usage", month=month), as_json_=as_json)


@app.command(
    "reset-quota", epilog='Example: gw admin user reset-quota ada@example.com "Wrong model by us"'
)
def reset_quota(
    context: typer.Context,
    user: User,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Kept in journal and audit.")],
    as_json: AsJson = False,
) -> None:
    """Let a user spend this month's limit again. What was spent stays in the books."""
    client = session(context).admin()
    told = client.post(f"{user_path(client, user)}/reset-quota", {"reason": reason})
    show.one(told, as_json_=as_json)
