"""/admin/audit and the journal of an organisation: who changed what, and what money moved."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.common.paging import MAX_SIZE
from services.edge.admin import translate
from services.edge.admin.answers import answer, json_lines, page
from services.edge.admin.border import Ask
from services.edge.admin.query import Query
from services.edge.admin.remote import LONG_SECONDS

_FORMATS = ("json", "jsonl")
ORDERS = ("asc", "desc")


async def list_(ask: Ask) -> Response:
    query = Query(
        ask.request,
        "org_id",
        "page_size",
        "page_token",
        "since",
        "until",
        "action",
        "order",
        "format",
    )
    whole = query.choice("format", _FORMATS) == "jsonl"
    request = admin_pb2.ListAuditEntriesRequest(
        org_id=query.text("org_id") or ask.identity.org_id,
        page_size=query.size(MAX_SIZE if whole else 0),
        page_token=query.text("page_token"),
        start_time=query.time("since"),
        end_time=query.time("until"),
        action=query.text("action"),
        descending=query.choice("order", ORDERS) == "desc",
    )
    if whole:
        name = f"audit-{request.org_id or 'platform'}"
        return await json_lines(_trail(ask, request), name)
    found = await ask.auth(ask.remote.auth.ListAuditEntries, request)
    return page(map(translate.audit_entry, found.entries), found.next_page_token)


async def _trail(
    ask: Ask, request: admin_pb2.ListAuditEntriesRequest
) -> AsyncIterator[list[dict[str, Any]]]:
    while True:
        found = await ask.auth(ask.remote.auth.ListAuditEntries, request)
        yield [translate.audit_entry(entry) for entry in found.entries]
        if not found.next_page_token:
            return
        request.page_token = found.next_page_token


async def verify(ask: Ask) -> Response:
    """Recomputes the hash chain of the platform's trail, or of an organisation's."""
    org_id = Query(ask.request, "org_id").text("org_id") or ask.identity.org_id
    request = admin_pb2.VerifyAuditTrailRequest(org_id=org_id)
    found = await ask.auth(ask.remote.auth.VerifyAuditTrail, request, LONG_SECONDS)
    return answer({"org_id": org_id or None, "ok": not found.breaks, **translate.trail(found)})


async def journal(ask: Ask) -> Response:
    query = Query(
        ask.request,
        "page_size",
        "page_token",
        "since",
        "until",
        "user_id",
        "order",
        "format",
    )
    whole = query.choice("format", _FORMATS) == "jsonl"
    request = quota_pb2.ListJournalRequest(
        org_id=ask.id("org_id"),
        page_size=query.size(MAX_SIZE if whole else 0),
        page_token=query.text("page_token"),
        start_time=query.time("since"),
        end_time=query.time("until"),
        user_id=query.text("user_id"),
        descending=query.choice("order", ORDERS) == "desc",
    )
    if whole:
        return await json_lines(_entries(ask, request), f"journal-{request.org_id}")
    found = await ask.quota(ask.remote.quota.ListJournal, request)
    return page(map(translate.journal_entry, found.entries), found.next_page_token)


async def _entries(
    ask: Ask, request: quota_pb2.ListJournalRequest
) -> AsyncIterator[list[dict[str, Any]]]:
    while True:
        found = await ask.quota(ask.remote.quota.ListJournal, request)
        yield [translate.journal_entry(entry) for entry in found.entries]
        if not found.next_page_token:
            return
        request.page_token = found.next_page_token
