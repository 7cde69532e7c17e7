"""gw admin org"""

from typing import Annotated

import typer

from cli import show
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
    changes,
    org_path,
    session,
)

app = typer.Typer(no_args_is_help=True, help="Organisations and their budgets.")

Budget = Annotated[str, typer.Argument(metavar="BUDGET", help="US dollars a month, such as 100.")]
FailureMode = Annotated[
    str | None,
    typer.Option("--failure-mode", help="fail-closed or fail-open, while quota is unavailable."),
]
Fallback = Annotated[
    str | None,
    typer.Option("--fallback-daily", help="US dollars a day that fail-open may spend."),
]
Cache = Annotated[
    bool | None, typer.Option("--upstream-cache/--no-upstream-cache", help="Let providers cache.")
]

COLUMNS = (
    ("ID", "org_id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("BUDGET", "monthly_budget_usd"),
    ("ON OUTAGE", "failure_mode"),
    ("CREATED", "created_at"),
)


@app.command(epilog='Example: gw admin org create "Demo Corporation" 100')
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    budget: Budget,
    failure_mode: FailureMode = None,
    fallback: Fallback = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Make an organisation with a monthly budget."""
    body = changes(
        models,
        rpm,
        tpm,
        concurrency,
        name=name,
        monthly_budget_usd=budget,
        failure_mode=failure_mode,
        fallback_daily_limit_usd=fallback,
        allow_upstream_cache=cache,
    )
    show.one(session(context).admin().post("/admin/organizations", body), as_json_=as_json)


@app.command(epilog='Example: gw admin org get "Demo Corporation"')
def get(context: typer.Context, org: Org, as_json: AsJson = False) -> None:
    """Show one organisation."""
    client = session(context).admin()
    show.one(client.get(org_path(client, org)), as_json_=as_json)


@app.command("list", epilog="Example: gw admin org list --status suspended")
def list_(
    context: typer.Context,
    status: Annotated[str | None, typer.Option("--status", help="active or suspended.")] = None,
    limit: Limit = 0,
    as_json: AsJson = False,
) -> None:
    """List organisations."""
    found = session(context).admin().each("/admin/organizations", limit=limit, status=status)
    show.rows(found, COLUMNS, as_json_=as_json)


@app.command(epilog='Example: gw admin org update "Demo Corporation" --budget 250 --rpm none')
def update(
    context: typer.Context,
    org: Org,
    name: Annotated[str | None, typer.Option("--name")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="US dollars a month.")] = None,
    failure_mode: FailureMode = None,
    fallback: Fallback = None,
    models: Models = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    concurrency: Concurrency = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; it holds for the next request."""
    body = changes(
        models,
        rpm,
        tpm,
        concurrency,
        name=name,
        monthly_budget_usd=budget,
        failure_mode=failure_mode,
        fallback_daily_limit_usd=fallback,
        allow_upstream_cache=cache,
    )
    client = session(context).admin()
    show.one(client.patch(org_path(client, org), body), as_json_=as_json)


@app.command(epilog='Example: gw admin org suspend "Test Organization"')
def suspend(context: typer.Context, org: Org, as_json: AsJson = False) -> None:
    """Refuse every request of an organisation until it is activated again."""
    client = session(context).admin()
    show.one(client.patch(org_path(client, org), {"status": "suspended"}), as_json_=as_json)


@app.command(epilog='Example: gw admin org activate "Test Organization"')
def activate(context: typer.Context, org: Org, as_json: AsJson = False) -> None:
    """Let a suspended organisation work again."""
    client = session(context).admin()
    show.one(client.patch(org_path(client, org), {"status": "active"}), as_json_=as_json)


@app.command(epilog='Example: gw admin org delete "Test Organization" --confirm')
def delete(
    context: typer.Context, org: Org, confirm: Confirm = False, as_json: AsJson = False
) -> None:
    """Delete an organisation with its users and keys. Usage, journal and audit stay readable."""
    client = session(context).admin()
    told = client.delete(org_path(client, org), validate_only=str(not confirm).lower())
    show.one(told, as_json_=as_json)
    if not confirm:
        show.note("Nothing was deleted; add --confirm to delete it.")


@app.command(epilog='Example: gw admin org usage "Demo Corporation" --month 2026-11')
def usage(context: typer.Context, org: Org, month: Month = None, as_json: AsJson = False) -> None:
    """Show what an organisation spent, holds and has left."""
    client = session(context).admin()
    show.one(client.get(f"{org_path(client, org)}/usage", month=month), as_json_=as_json)


@app.command(epilog='Example: gw admin org users "Demo Corporation"')
def users(context: typer.Context, org: Org, limit: Limit = 0, as_json: AsJson = False) -> None:
    """List an organisation's users."""
    client = session(context).admin()
    found = client.each(f"{org_path(client, org)}/users", limit=limit)
    show.rows(found, USER_COLUMNS, as_json_=as_json)


USER_COLUMNS = (
    ("ID", "user_id"),
    ("EMAIL", "email"),
    ("NAME", "name"),
    ("ORGANISATION", "org_id"),
    ("STATUS", "status"),
    ("LIMIT", "monthly_limit_usd"),
)
