"""gw admin audit, journal, usage: what was recorded, as tables or as exports of any size"""

from typing import Annotated, Any

import typer

from cli import show
from cli.admin.export import export
from cli.failure import USAGE, Failure
from cli.options import AsJson, Limit, Month, Org, Since, Until, find_org, org_path, session

File = Annotated[
    str | None,
    typer.Option("--export", metavar="FILE", help="Write everything there; `-` is standard out."),
]
OneOrg = Annotated[str | None, typer.Option("--org", help="Id or name of an organisation.")]

_AUDIT = (
    ("TIME", "time"),
    ("WHO", "actor"),
    ("WHAT", "action"),
    ("TARGET", "target"),
    ("CHANGE", "change"),
)
_JOURNAL = (
    ("TIME", "time"),
    ("KIND", "kind"),
    ("USER", "user_id"),
    ("MODEL", "model"),
    ("SPENT", "spent_usd"),
    ("HELD", "held_usd"),
    ("IN", "input_tokens"),
    ("OUT", "output_tokens"),
    ("FLAGS", "flags"),
)
_MEASURES = (
    ("SPENT", "spent_usd"),
    ("REQUESTS", "request_count"),
    ("IN", "input_tokens"),
    ("OUT", "output_tokens"),
)
_GROUPS = {
    "day": ("DAY", "day"),
    "user": ("USER", "user_id"),
    "key": ("KEY", "key_id"),
    "model": ("MODEL", "model"),
    "org": ("ORGANIZATION", "org_id"),
}


def add_to(app: typer.Typer) -> None:
    app.command(epilog='Example: gw admin audit --org "Demo Corporation" --since 2026-11-01')(audit)
    app.command(epilog='Example: gw admin journal "Demo Corporation" --export journal.jsonl')(
        journal
    )
    app.command(epilog='Example: gw admin usage --org "Demo Corporation" --by day,model')(usage)


def audit(
    context: typer.Context,
    org: OneOrg = None,
    since: Since = None,
    until: Until = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Such as user.update, or user. for all of them.")
    ] = None,
    limit: Limit = 50,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, newest first: of one organisation, or of the platform."""
    client = session(context).admin()
    query: dict[str, Any] = {
        "org_id": find_org(client, org) if org else None,
        "since": since,
        "until": until,
        "action": action,
    }
    if file:
        export(client, "/admin/audit", file, {**query, "format": "jsonl"})
        return
    found = client.each("/admin/audit", limit=limit, order="desc", **query)
    if as_json:
        show.as_json(list(found))
        return
    told = (one | {"change": show.changes(one["before"], one["after"])} for one in found)
    show.rows(told, _AUDIT, as_json_=False)


def journal(
    context: typer.Context,
    org: Org,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show an organisation's money entries, newest first; an export has the oldest first."""
    client = session(context).admin()
    path = f"{org_path(client, org)}/journal"
    query: dict[str, Any] = {"since": since, "until": until}
    if file:
        export(client, path, file, {**query, "format": "jsonl"})
        return
    found = client.each(path, limit=limit, order="desc", **query)
    show.rows(found, _JOURNAL, as_json_=as_json)


def usage(
    context: typer.Context,
    org: OneOrg = None,
    month: Month = None,
    by: Annotated[
        str, typer.Option("--by", help="Some of day, user, key, model, org, with commas.")
    ] = "day,model",
    file: File = None,
    form: Annotated[str, typer.Option("--format", help="Of the export: csv or jsonl.")] = "csv",
    as_json: AsJson = False,
) -> None:
    """Show usage by day, user, key, model or organisation; exports can hold every record."""
    groups = list(_GROUPS)[:4] if by == "all" else by.split(",")
    wrong = [group for group in groups if group not in _GROUPS]
    if wrong:
        raise Failure(f"--by knows day, user, key, model, org and all, not {wrong[0]!r}", USAGE)
    if form not in ("csv", "jsonl"):
        raise Failure(f"--format knows csv and jsonl, not {form!r}", USAGE)
    asked = ["organization" if group == "org" else group for group in groups]
    client = session(context).admin()
    query: dict[str, Any] = {
        "org_id": find_org(client, org) if org else None,
        "month": month,
    }
    if file:
        # Ungrouped records are streamed; groups are added up before the first of them is sent.
        added = None if by == "all" else ",".join(asked)
        export(client, "/admin/usage", file, {**query, "group_by": added, "format": form})
        return
    found = client.get("/admin/usage", group_by=",".join(asked), **query)["data"]
    columns = (*(_GROUPS[group] for group in groups), *_MEASURES)
    show.rows(found, columns, as_json_=as_json)
