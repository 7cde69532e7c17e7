"""The usage export: every record once, sums exact, streamed, refused properly."""

import csv
import io
import json

import httpx
import pytest

from gateway.quota.v1 import admin_pb2
from services.common import errors
from services.edge.admin import usage
from tests.edge_admin.conftest import Api


def record(day: int, user: str, model: str, spent: int) -> admin_pb2.UsageRecord:
    return admin_pb2.UsageRecord(
        org_id="org_b" if user == "bob" else "org_a",
        day=f"2026-11-{day:02d}",
        user_id=user,
        key_id=f"key_{user}",
        model=model,
        spent_nano_usd=spent,
        request_count=1,
        input_tokens=10,
        output_tokens=2,
    )


ALICE = record(1, "alice", "openai/gpt", 1)
BOB = record(1, "bob", "openai/gpt", 2)
LATER = record(2, "alice", "=cmd()", 999_999_999)
PAGES = {"": ([ALICE, BOB], "2"), "2": ([], "3"), "3": ([LATER], "")}


def pages(request: admin_pb2.ListUsageRecordsRequest) -> admin_pb2.ListUsageRecordsResponse:
    records, following = PAGES[request.page_token]
    return admin_pb2.ListUsageRecordsResponse(records=records, next_page_token=following)


@pytest.fixture
def books(api: Api) -> Api:
    api.recorder.answers["ListUsageRecords"] = pages
    return api


async def test_json_lines_hold_each_record_of_every_page(books: Api) -> None:
    answer = await books.send("GET", "/admin/usage?org_id=org_a&format=jsonl&month=2026-11")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["day"], row["user_id"], row["spent_usd"]) for row in rows] == [
        ("2026-11-01", "alice", "0.000000001"),
        ("2026-11-01", "bob", "0.000000002"),
        ("2026-11-02", "alice", "0.999999999"),
    ]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"


async def test_csv_has_a_header_and_no_formulas(books: Api) -> None:
    answer = await books.send("GET", "/admin/usage?org_id=org_a&format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert list(rows[0]) == [
        "org_id",
        "day",
        "user_id",
        "key_id",
        "model",
        "spent_usd",
        "request_count",
        "input_tokens",
        "output_tokens",
    ]
    assert [row["model"] for row in rows] == ["openai/gpt", "openai/gpt", "'=cmd()"]
    assert 'filename="usage-org_a.csv"' in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("day", [("2026-11-01", "0.000000003"), ("2026-11-02", "0.999999999")]),
        ("user", [("alice", "1"), ("bob", "0.000000002")]),
        ("key", [("key_alice", "1"), ("key_bob", "0.000000002")]),
        ("model", [("=cmd()", "0.999999999"), ("openai/gpt", "0.000000003")]),
        ("organization", [("org_a", "1"), ("org_b", "0.000000002")]),
    ],
)
async def test_groups_add_up_exactly(
    books: Api, groups: str, expected: list[tuple[str, str]]
) -> None:
    path = f"/admin/usage?group_by={groups}"
    rows = (await books.send("GET", path)).json()["data"]
    named = {"user": "user_id", "key": "key_id", "organization": "org_id"}
    column = named.get(groups, groups)
    assert [(row[column], row["spent_usd"]) for row in rows] == expected
    assert sum(row["request_count"] for row in rows) == 3


async def test_two_groups_make_a_table(books: Api) -> None:
    path = "/admin/usage?org_id=org_a&group_by=user,day&format=csv"
    rows = (await books.send("GET", path)).text.splitlines()
    assert rows[0].startswith("org_id,user_id,day,spent_usd")
    assert len(rows) == 4


async def test_all_organisations_are_exported_in_one_file(books: Api) -> None:
    answer = await books.send("GET", "/admin/usage?format=csv&month=2026-11")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["org_id"] for row in rows] == ["org_a", "org_b", "org_a"]
    assert 'filename="usage-2026-11.csv"' in answer.headers["content-disposition"]


async def test_what_is_kept_in_memory_is_bounded(
    books: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MOST_GROUPS", 2)
    assert (await books.send("GET", "/admin/usage?group_by=user")).status_code == 200
    for form in ("json", "csv", "jsonl"):
        refused = await books.send("GET", f"/admin/usage?group_by=day,user&format={form}")
        assert refused.status_code == 422
        assert refused.json()["error"]["param"] == "group_by"
    assert len((await books.send("GET", "/admin/usage?format=jsonl")).text.splitlines()) == 3


async def test_json_is_paged(books: Api) -> None:
    first = (await books.send("GET", "/admin/usage?org_id=org_a&page_size=2")).json()
    assert (len(first["data"]), first["next_page_token"]) == (2, "2")
    last = (await books.send("GET", "/admin/usage?org_id=org_a&page_token=3")).json()
    assert (len(last["data"]), last["next_page_token"]) == (1, None)


@pytest.mark.parametrize("form", ["json", "csv", "jsonl"])
async def test_an_unknown_organization_is_404_in_every_format(api: Api, form: str) -> None:
    api.recorder.answers["ListUsageRecords"] = errors.NotFound("no")
    answer = await api.send("GET", f"/admin/usage?org_id=org_x&format={form}")
    assert answer.status_code == 404


async def test_an_export_that_fails_midway_is_never_taken_for_whole(api: Api) -> None:
    def failing(request: admin_pb2.ListUsageRecordsRequest) -> admin_pb2.ListUsageRecordsResponse:
        if request.page_token:
            raise RuntimeError("gone")
        return admin_pb2.ListUsageRecordsResponse(records=[ALICE], next_page_token="2")

    api.recorder.answers["ListUsageRecords"] = failing
    strict = httpx.ASGITransport(app=api.http._transport.app)  # type: ignore[attr-defined]
    async with httpx.AsyncClient(
        transport=strict, base_url="http://edge", headers=api.http.headers
    ) as http:
        with pytest.raises(errors.GatewayError):
            await http.get("/admin/usage?org_id=org_a&format=jsonl")
