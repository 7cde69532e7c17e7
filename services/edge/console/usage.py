"""/console/usage: a month by day, model, user, key or organisation, and its download."""

from typing import Any

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.directory import emails, key_names, org_names, organizations
from services.edge.console.spending import chosen_month, spending
from services.edge.console.visit import Visit
from services.edge.errors import invalid

BY = ("day", "model", "user", "key", "organization")
NAMED = 50
"""How many rows of a table get a name looked up; the rest show ids."""

_COLUMN = {"model": "model", "user": "user_id", "key": "key_id", "organization": "org_id"}


async def show(visit: Visit) -> Response:
    known = await organizations(visit)
    month, by = chosen_month(visit), visit.query("by") if visit.query("by") in BY else "day"
    org_id = visit.query("org_id") or (known.rows[0]["org_id"] if len(known.rows) == 1 else "")
    user_id = visit.query("user_id")
    groups = {"day": ("day",), "key": ("day", "user", "key")}.get(by, ("day", by))
    spent = await spending(visit, org_id, month, groups, user_id=user_id)
    columns = ("user_id", "key_id") if by == "key" else (_COLUMN.get(by, "day"),)
    rows = spent.by(*columns)
    if by == "day":
        rows.sort(key=lambda row: str(row["day"]), reverse=True)
    names = known.names()
    names |= await _names(visit, by, [row for row in rows if row[columns[-1]] not in names][:NAMED])
    series = _COLUMN.get(by, "")
    return visit.page(
        "usage.html",
        rows=rows,
        chart=spent.chart(series, _called(names, rows) if by == "key" else names),
        names=names,
        by=by,
        column=columns[-1],
        total=spent.by(),
        organizations=known,
        org_id=org_id,
        user_id=user_id,
        user=await visit.get(path("users", user_id)) if user_id else None,
        month=month,
    )


async def download(visit: Visit) -> Response:
    form = visit.query("format")
    if form not in ("csv", "jsonl"):
        raise invalid("There is no such download.", code="not_found", status=404)
    asked = {name: visit.query(name) for name in ("org_id", "month", "user_id", "group_by")}
    # Asked for a little first: what is refused is a page, not a broken download.
    await visit.get(path("usage"), {**asked, "group_by": "", "page_size": "1"})
    return visit.download(path("usage"), {**asked, "format": form})


def _called(names: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Keys by name and user: a chart says both in one line."""
    return {
        str(row["key_id"]): f"{names.get(row['key_id'], row['key_id'])}, "
        f"{names.get(row['user_id'], row['user_id'])}"
        for row in rows
    }


async def _names(visit: Visit, by: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    if by == "organization":
        found |= await org_names(visit, {str(row["org_id"]) for row in rows})
    if by in ("user", "key"):
        found |= await emails(visit, {str(row["user_id"]) for row in rows})
    if by == "key":
        found |= await key_names(visit, {str(r["key_id"]): str(r["user_id"]) for r in rows})
    return found
