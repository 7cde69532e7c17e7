"""/console/audit: who changed what, and the proof that nothing was taken out."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.directory import organizations
from services.edge.console.show import usd
from services.edge.console.visit import Visit
from services.edge.errors import ApiError

ACTIONS = (
    ("", "Everything"),
    ("organization.", "Organisations"),
    ("user.", "Users"),
    ("api_key.", "API keys"),
    ("provider_key.", "Provider keys"),
    ("admin_key.", "Admin keys"),
    ("admin.", "Sign-ins"),
    ("grace.", "Outages"),
    ("journal.", "Journal"),
)
_FILTERS = ("org_id", "action", "since", "until")


async def list_(visit: Visit) -> Response:
    filters = {name: visit.query(name) for name in _FILTERS}
    asked = {**filters, "page_token": visit.query("page_token"), "page_size": "50"}
    problem = ""
    found: dict[str, Any] = {"data": [], "next_page_token": None}
    try:
        found = await visit.get(path("audit"), {**asked, "order": "desc"})
    except ApiError as refused:
        if refused.status != 422:
            raise
        problem = refused.message
    return visit.page(
        "audit.html",
        422 if problem else 200,
        entries=[entry | {"changes": changes(entry)} for entry in found["data"]],
        next_page_token=found["next_page_token"],
        filters=filters,
        problem=problem,
        actions=ACTIONS,
        organizations=await organizations(visit),
    )


async def verify(visit: Visit) -> Response:
    found = await visit.get(path("audit", "verify"), {"org_id": visit.query("org_id")})
    return visit.page(
        "verify.html",
        ledger=None,
        trail=found,
        ok=found["ok"],
        back="/console/audit?" + urlencode({"org_id": visit.query("org_id")}),
        back_name="Audit trail",
    )


async def download(visit: Visit) -> Response:
    asked = {name: visit.query(name) for name in _FILTERS}
    # Asked for a little first: what is refused is a page, not a broken download.
    await visit.get(path("audit"), {**asked, "page_size": "1"})
    return visit.download(path("audit"), {**asked, "format": "jsonl"})


def changes(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each field that changed: its name, what it was, what it is."""
    before, after = _object(entry["before"]), _object(entry["after"])
    names = dict.fromkeys((*before, *after))
    return [(_label(name), _text(name, before), _text(name, after)) for name in names]


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {} if value is None else {"": value}


def _label(name: str) -> str:
    return name.removesuffix("_usd").removesuffix("_at").replace("_", " ")


def _text(name: str, fields: dict[str, Any]) -> str:
    value = fields.get(name, "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if name.endswith("_usd") and value:
        return usd(value)
    if name.endswith("_at") and value:
        return f"{datetime.fromisoformat(value):%-d %b %Y, %H:%M} UTC"
    return str(value)
