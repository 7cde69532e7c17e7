"""The RPCs for people: usage, rankings, journal, proof, and the reset of a user's month."""

import heapq
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from gateway.quota.v1 import admin_pb2 as pb
from gateway.quota.v1 import admin_pb2_grpc as rpc
from services.common import keys
from services.common.access import caller
from services.common.errors import InvalidField
from services.common.idempotency import Idempotency
from services.common.paging import Listed, decode_token, encode_token, page, page_size
from services.common.trail import Author
from services.quota import messages, scopes
from services.quota.books import Books, Counters
from services.quota.door import Door
from services.quota.months import is_month, month_of
from services.quota.records import UsageRecords
from services.quota.resets import Resets
from services.quota.verify import Auditor

Context = grpc.aio.ServicerContext[Any, Any]

_TOP = 10
_MAX_TOP = 100
_MAX_REASON = 500
_ENTRY = re.compile(r"\d+-\d+")
_RECORD = re.compile(r"[A-Za-z0-9_-]{1,64}\|.*")


class QuotaAdminService(rpc.QuotaAdminServiceServicer):
    """A caller bound to one organisation sees this one; any other is not found."""

    def __init__(
        self,
        door: Door,
        resets: Resets,
        books: Books,
        records: UsageRecords,
        auditor: Auditor,
        idempotency: Idempotency,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._door = door
        self._resets = resets
        self._books = books
        self._records = records
        self._auditor = auditor
        self._idempotency = idempotency
        self._clock = clock
        self._started = time.monotonic()

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.Usage:
        scope = await scopes.owner_scope(self._books, request.owner)
        return await self._usage(scope, request.month)

    async def ListUsageRecords(
        self, request: pb.ListUsageRecordsRequest, context: Context
    ) -> pb.ListUsageRecordsResponse:
        only = request.org_id or caller.get().org
        if only:
            only = await scopes.organisation(self._books, only)
        user = request.user_id
        if user:
            org = (await scopes.user_scope(self._books, user)).org
            if only not in ("", org):
                raise scopes.missing("user", user)
            only = org
        month = request.month or await self._current(only)
        _check_month(month)

        async def fetch(position: str, count: int) -> list[Listed[pb.UsageRecord]]:
            if position and not _RECORD.fullmatch(position):
                raise InvalidField("page_token", "is not a token of this list")
            places = await self._records.after(only, month, position, count)
            wanted = [place for place in places if _of_user(place[1], user)]
            read = iter(await self._records.read(month, wanted))
            return [
                (f"{org}|{name}", messages.record(next(read)) if _of_user(name, user) else None)
                for org, name in places
            ]

        records, token = await page(request.page_size, request.page_token, fetch)
        return pb.ListUsageRecordsResponse(records=records, next_page_token=token)

    async def ResetUserQuota(self, request: pb.ResetUserQuotaRequest, context: Context) -> pb.Usage:
        reason = request.reason.strip()
        if not 1 <= len(reason) <= _MAX_REASON:
            raise InvalidField("reason", f"is required: 1 to {_MAX_REASON} characters")
        scope = await scopes.user_scope(self._books, request.user_id)
        if not await self._books.config(scope.config):
            raise scopes.missing("user", scope.user)

        async def reset() -> pb.Usage:
            author = Author(caller.get().name, caller.get().request_id)
            month = await self._resets.reset(scope.org, scope.user, reason, author)
            return await self._usage(scope, month)

        return await self._idempotency.once("ResetUserQuota", request, pb.Usage, reset)

    async def ListTopUsers(
        self, request: pb.ListTopUsersRequest, context: Context
    ) -> pb.ListTopUsersResponse:
        size = page_size(request.page_size, default=_TOP, maximum=_MAX_TOP)
        month = request.month or month_of(self._clock())
        _check_month(month)
        requests = request.ranking == pb.RANKING_REQUESTS
        name = keys.rank_by_requests if requests else keys.rank_by_cost
        found: list[tuple[int, str, str, Counters]] = []
        async for orgs in self._organisations(request.org_id):
            ranked = await self._books.ranked([name(org, month) for org in orgs], size)
            users = [(org, user) for org, top in zip(orgs, ranked, strict=True) for user in top]
            counters = await self._books.counters(
                [keys.user_quota(org, user) for org, user in users], month
            )
            for (org, user), c in zip(users, counters, strict=True):
                found.append((c.requests if requests else c.spent, org, user, c))
            found = heapq.nlargest(size, found, key=lambda row: (row[0], row[1], row[2]))
        emails = await self._books.emails([(org, user) for _, org, user, _ in found])
        return pb.ListTopUsersResponse(
            users=[
                messages.top_user(org, user, email, c)
                for (_, org, user, c), email in zip(found, emails, strict=True)
            ]
        )

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.Metrics:
        month = request.month or month_of(self._clock())
        _check_month(month)
        total = pb.Metrics(month=month, uptime_seconds=int(time.monotonic() - self._started))
        async for orgs in self._organisations(request.org_id):
            names = [keys.org_quota(org) for org in orgs]
            for c in await self._books.counters(names, month):
                messages.add(total, c)
        started = time.perf_counter()
        await self._door.ping()
        total.kv_latency_micros = int((time.perf_counter() - started) * 1_000_000)
        return total

    async def ListJournal(
        self, request: pb.ListJournalRequest, context: Context
    ) -> pb.ListJournalResponse:
        size = page_size(request.page_size)
        org = await scopes.organisation(self._books, request.org_id)
        start, end = "-", "+"
        if request.HasField("start_time"):
            start = str(max(0, request.start_time.ToMilliseconds()))
        if request.HasField("end_time"):
            end = f"({max(0, request.end_time.ToMilliseconds())}-0"
        after = _position(request.page_token, _ENTRY)
        if after and request.descending:
            end = f"({after}"
        elif after:
            start = f"({after}"
        rows = await self._books.journal(org, start, end, size, newest_first=request.descending)
        return pb.ListJournalResponse(
            entries=[
                messages.entry(org, entry_id, fields)
                for entry_id, fields in rows
                if request.user_id in ("", fields["u"])
            ],
            next_page_token=encode_token(rows[-1][0]) if len(rows) == size else "",
        )

    async def VerifyLedger(
        self, request: pb.VerifyLedgerRequest, context: Context
    ) -> pb.VerifyLedgerResponse:
        org = await scopes.organisation(self._books, request.org_id)
        return messages.verdict(await self._auditor.verify(org))

    async def _usage(self, scope: scopes.Scope, month: str) -> pb.Usage:
        current = await self._current(scope.org)
        month = month or current
        _check_month(month)
        [counters] = await self._books.counters([scope.quota], month)
        config = await self._books.config(scope.config)
        return messages.usage(scope, month, counters, config.get("limit"), month == current)

    async def _current(self, org: str) -> str:
        """The month in which this organisation spends; without one, the month of now."""
        now = month_of(self._clock())
        return max(now, await self._books.open_month(org)) if org else now

    async def _organisations(self, asked: str) -> AsyncIterator[list[str]]:
        """The organisation asked for, or the caller's own, or all, some at a time."""
        only = asked or caller.get().org
        if only:
            yield [await scopes.organisation(self._books, only)]
            return
        async for orgs in self._books.each_organisation():
            yield orgs


def _of_user(name: str, user: str) -> bool:
    """Whether a record's name is one, and this user's where one is asked for."""
    return bool(name) and (not user or name.split("|", 2)[1] == user)


def _check_month(month: str) -> None:
    if not is_month(month):
        raise InvalidField("month", 'must be a month, like "2026-11"')


def _position(token: str, form: re.Pattern[str]) -> str:
    position = decode_token(token)
    if token and not form.fullmatch(position):
        raise InvalidField("page_token", "is not a token of this list")
    return position
