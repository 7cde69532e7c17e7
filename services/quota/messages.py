"""What the books say, as the messages of QuotaAdminService."""

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.quota.v1 import admin_pb2 as pb
from gateway.quota.v1 import quota_pb2
from services.quota.books import Counters
from services.quota.items import NOTHING
from services.quota.months import next_start_ms
from services.quota.records import Record
from services.quota.scopes import Scope
from services.quota.verify import Verdict


def usage(scope: Scope, month: str, c: Counters, limit: str | None, current: bool) -> pb.Usage:
    """``current``: running requests are told of the current month only."""
    spent = c.spent - c.reset
    answer = pb.Usage(
        owner=scope.owner(),
        month=month,
        spent_nano_usd=spent,
        held_nano_usd=c.held,
        request_count=c.requests,
        input_tokens=c.input_tokens,
        output_tokens=c.output_tokens,
        reset_time=timestamp(next_start_ms(month)),
        total_spent_nano_usd=c.spent,
        grace_nano_usd=c.grace,
        cached_input_tokens=c.cached_input_tokens,
        reasoning_output_tokens=c.reasoning_output_tokens,
        held_count=c.running if current else 0,
    )
    if limit is not None:
        answer.limit_nano_usd = int(limit)
        answer.remaining_nano_usd = max(0, int(limit) - spent - c.held)
    return answer


def record(r: Record) -> pb.UsageRecord:
    return pb.UsageRecord(
        day=r.day,
        user_id=r.user,
        key_id=r.key,
        model=r.model,
        spent_nano_usd=r.spent,
        request_count=r.requests,
        input_tokens=r.input_tokens,
        output_tokens=r.output_tokens,
        org_id=r.org,
    )


def top_user(org: str, user: str, email: str, c: Counters) -> pb.TopUser:
    return pb.TopUser(
        org_id=org,
        user_id=user,
        email=email,
        spent_nano_usd=c.spent,
        request_count=c.requests,
    )


def add(total: pb.Metrics, c: Counters) -> None:
    total.request_count += c.requests
    total.spent_nano_usd += c.spent
    total.held_nano_usd += c.held
    total.input_tokens += c.input_tokens
    total.output_tokens += c.output_tokens
    total.grace_nano_usd += c.grace
    total.held_count += c.running


def entry(org: str, entry_id: str, e: dict[str, str]) -> pb.JournalEntry:
    """An entry of the journal; its id begins with its time."""
    tokens = [int(text) for text in (e["t"] or NOTHING).split(" ")]
    return pb.JournalEntry(
        entry_id=entry_id,
        time=timestamp(int(entry_id.partition("-")[0])),
        kind=e["k"],
        reservation_id=e["id"],
        owner=quota_pb2.Owner(org_id=org, user_id=e["u"], key_id=e["key"]),
        month=e["m"],
        model=e["model"],
        operation=e["op"],
        spent_nano_usd=int(e["s"]),
        held_nano_usd=int(e["h"]),
        usage=quota_pb2.TokenUsage(
            input_tokens=tokens[0],
            cached_input_tokens=tokens[1],
            cache_write_input_tokens=tokens[2],
            audio_input_tokens=tokens[3],
            output_tokens=tokens[4],
            reasoning_output_tokens=tokens[5],
            audio_output_tokens=tokens[6],
            extra_units=tokens[7],
        )
        if e["t"]
        else None,
        flags=[flag for flag in e["f"].split(",") if flag],
        request_id=e["rq"],
        reason=e["why"],
    )


def verdict(found: Verdict) -> pb.VerifyLedgerResponse:
    return pb.VerifyLedgerResponse(
        journal_entries=found.entries,
        spent_nano_usd=found.spent,
        held_nano_usd=found.held,
        differences=[
            pb.LedgerDifference(
                subject=d.subject,
                month=d.month,
                field=d.field,
                counter=d.counter,
                expected=d.expected,
                source=d.source,
            )
            for d in found.differences
        ],
    )


def timestamp(ms: int) -> Timestamp:
    made = Timestamp()
    made.FromMilliseconds(ms)
    return made
