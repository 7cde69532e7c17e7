"""/console/users/{user_id}/journal: each step of a user's money, newest first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.visit import Visit
from services.edge.errors import ApiError

_DAYS = 7


async def show(visit: Visit) -> Response:
    user = await visit.get(path("users", visit.id("user_id")))
    week = datetime.now(UTC).date() - timedelta(days=_DAYS - 1)
    since = visit.query("since") or week.isoformat()
    asked = {
        "user_id": user["user_id"],
        "since": since,
        "until": visit.query("until"),
        "page_token": visit.query("page_token"),
        "page_size": "1000",
        "order": "desc",
    }
    problem = ""
    found: dict[str, Any] = {"data": [], "next_page_token": None}
    try:
        found = await visit.get(path("organizations", user["org_id"], "journal"), asked)
    except ApiError as refused:
        if refused.status != 422:
            raise
        problem = refused.message
    return visit.page(
        "journal.html",
        422 if problem else 200,
        user=user,
        entries=found["data"],
        next_page_token=found["next_page_token"],
        since=since,
        until=visit.query("until"),
        problem=problem,
    )
