"""The forms of an answer: one resource, one page, or a stream of records."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def answer(content: dict[str, Any], status: int = 200, **headers: str) -> Response:
    return Response(
        orjson.dumps(content),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def page(rows: Iterable[dict[str, Any]], next_page_token: str, **beside: Any) -> Response:
    """``next_page_token`` is null on the last page, and only there."""
    return answer({**beside, "data": list(rows), "next_page_token": next_page_token or None})


async def json_lines(pages: AsyncIterator[list[dict[str, Any]]], name: str) -> Response:
    """One JSON object a line, sent page by page. The first page is read before the status is, so
    that what is refused is refused properly; a failure later breaks the connection off, so that a
    part is never taken for the whole."""
    first: list[dict[str, Any]] = await anext(pages, [])

    async def lines() -> AsyncIterator[bytes]:
        yield _lines(first)
        async for rows in pages:
            yield _lines(rows)

    return _download(lines(), "application/x-ndjson", f"{name}.jsonl")


async def comma_separated(
    pages: AsyncIterator[list[dict[str, Any]]], columns: list[str], name: str
) -> Response:
    """As :func:`json_lines`, as CSV with a header line."""
    first: list[dict[str, Any]] = await anext(pages, [])

    async def lines() -> AsyncIterator[bytes]:
        yield (",".join(columns) + "\r\n").encode() + _table(first, columns)
        async for rows in pages:
            yield _table(rows, columns)

    return _download(lines(), "text/csv; charset=utf-8", f"{name}.csv")


def _download(body: AsyncIterator[bytes], media_type: str, filename: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return StreamingResponse(body, media_type=media_type, headers=headers)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _table(rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    """Model names come from clients: a spreadsheet must not take one for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
