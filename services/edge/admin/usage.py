"""/admin/usage: usage of one or all organisations by day, user, key and model; as pages, CSV or
JSON lines. However much there is, one page of it is in memory, or one sum for each group."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response

from gateway.quota.v1 import admin_pb2
from services.common.money import to_usd
from services.common.paging import MAX_SIZE
from services.edge.admin.answers import comma_separated, json_lines, page
from services.edge.admin.border import Ask
from services.edge.admin.query import Query
from services.edge.admin.refusal import unprocessable

GROUPS = ("day", "user", "key", "model", "organization")
_COLUMN = {
    "day": "day",
    "user": "user_id",
    "key": "key_id",
    "model": "model",
    "organization": "org_id",
}
MOST_GROUPS = 100_000
_MEASURES = ("spent_nano_usd", "request_count", "input_tokens", "output_tokens")

Row = dict[str, Any]
Records = AsyncIterator[list[admin_pb2.UsageRecord]]


async def export(ask: Ask) -> Response:
    query = Query(
        ask.request, "org_id", "month", "group_by", "format", "user_id", "page_size", "page_token"
    )
    groups = query.words("group_by", GROUPS)
    form = query.choice("format", ("json", "csv", "jsonl"))
    whole = bool(groups) or form != "json"
    request = admin_pb2.ListUsageRecordsRequest(
        org_id=query.text("org_id") or ask.identity.org_id,
        month=query.month(),
        page_size=query.size(MAX_SIZE if whole else 0),
        page_token=query.text("page_token"),
        user_id=query.text("user_id"),
    )
    if not whole:
        found = await ask.quota(ask.remote.quota.ListUsageRecords, request)
        return page(map(usage_row, found.records), found.next_page_token)
    pages = _pages(ask, request, groups)
    name = "-".join(filter(None, ("usage", request.org_id, request.month, *groups)))
    columns = list(dict.fromkeys(("org_id", *(_COLUMN[group] for group in groups or GROUPS))))
    if form == "csv":
        measures = ["spent_usd", "request_count", "input_tokens", "output_tokens"]
        return await comma_separated(pages, columns + measures, name)
    if form == "jsonl":
        return await json_lines(pages, name)
    return page([row async for rows in pages for row in rows], "")


async def _pages(
    ask: Ask, request: admin_pb2.ListUsageRecordsRequest, groups: tuple[str, ...]
) -> AsyncIterator[list[Row]]:
    records = _records(ask, request)
    if groups:
        yield await _grouped(request.org_id, records, groups)
        return
    async for found in records:
        yield list(map(usage_row, found))


async def _records(ask: Ask, request: admin_pb2.ListUsageRecordsRequest) -> Records:
    while True:
        found = await ask.quota(ask.remote.quota.ListUsageRecords, request)
        yield list(found.records)
        if not found.next_page_token:
            return
        request.page_token = found.next_page_token


async def _grouped(org_id: str, pages: Records, groups: tuple[str, ...]) -> list[Row]:
    columns = [_COLUMN[group] for group in groups]
    sums: dict[tuple[str, ...], list[int]] = {}
    async for records in pages:
        for record in records:
            name = tuple(str(getattr(record, column)) for column in columns)
            total = sums.setdefault(name, [0] * len(_MEASURES))
            for place, measure in enumerate(_MEASURES):
                total[place] += getattr(record, measure)
        if len(sums) > MOST_GROUPS:
            raise unprocessable(
                "group_by",
                f"makes more than {MOST_GROUPS} groups here: leave it out and export every record, "
                "or name an organisation",
            )
    return [
        {
            "org_id": org_id or None,
            **dict(zip(columns, name, strict=True)),
            **_measures(*sums[name]),
        }
        for name in sorted(sums)
    ]


def usage_row(record: admin_pb2.UsageRecord) -> Row:
    return {
        "org_id": record.org_id,
        "day": record.day,
        "user_id": record.user_id,
        "key_id": record.key_id,
        "model": record.model,
        **_measures(*(getattr(record, measure) for measure in _MEASURES)),
    }


def _measures(spent: int, requests: int, input_tokens: int, output_tokens: int) -> Row:
    return {
        "spent_usd": to_usd(spent),
        "request_count": requests,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
