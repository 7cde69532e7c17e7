"""The ledger's answers as results of the hot RPCs."""

from gateway.quota.v1 import quota_pb2 as pb
from services.quota.items import Checked, Checkpoint, Granted, Rate, Refused, Reserve, Settled
from services.quota.months import next_start_ms

_RETRY_MS = {"BUDGET_HELD": 2_000, "CLOCK_SKEW": 1_000}
_TOO_OLD = "This reservation is unknown and older than the replay window"
_STATES = {
    "": pb.RESERVATION_STATE_UNSPECIFIED,
    "reserved": pb.RESERVATION_STATE_RESERVED,
    "settled": pb.RESERVATION_STATE_SETTLED,
    "released": pb.RESERVATION_STATE_RELEASED,
    "expired": pb.RESERVATION_STATE_EXPIRED,
}


def reserve(ask: Reserve, answer: Granted | Refused) -> pb.ReserveResult:
    result = pb.ReserveResult(
        revision=answer.revision,
        request_rate=_rate(answer.requests),
        token_rate=_rate(answer.tokens),
    )
    if isinstance(answer, Refused):
        result.refusal.CopyFrom(_refusal(answer, ask.bound.nano(ask.output)))
        return result
    result.grant.CopyFrom(
        pb.Grant(
            held_nano_usd=answer.held,
            output_tokens=answer.output,
            month=answer.month,
            admit_time_ms=answer.admit_ms,
            duplicate=answer.duplicate,
            state=_STATES[answer.state],
            output_price_pico_usd=ask.bound.output,
        )
    )
    return result


def checkpoint(note: Checkpoint, answer: Checked) -> pb.CheckpointResult:
    if answer.state == "CONFLICT":
        return pb.CheckpointResult(refusal=pb.Refusal(reason="IDEMPOTENCY_CONFLICT"))
    return pb.CheckpointResult(
        state=_STATES[answer.state],
        output_tokens=answer.output,
        held_nano_usd=answer.held,
        refusal=_refusal(answer.refused, note.bound.nano(note.want)) if answer.refused else None,
    )


def settle(answer: Settled) -> pb.SettleResult:
    refusal = None
    if answer.code == "CONFLICT":
        refusal = pb.Refusal(reason="IDEMPOTENCY_CONFLICT")
    elif answer.code == "OLD":
        refusal = pb.Refusal(reason="PRECONDITION_FAILED", message=_TOO_OLD)
    return pb.SettleResult(
        state=_STATES[answer.state],
        charged_nano_usd=answer.charged,
        duplicate=answer.code == "DUP",
        refusal=refusal,
    )


def _refusal(refused: Refused, asked: int) -> pb.Refusal:
    return pb.Refusal(
        reason=refused.reason,
        scope=refused.scope,
        limit_nano_usd=refused.limit,
        spent_nano_usd=refused.spent,
        held_nano_usd=refused.held,
        asked_nano_usd=asked,
        affordable_output_tokens=refused.affordable,
        reset_time_ms=next_start_ms(refused.month) if refused.month else 0,
        retry_after_ms=_RETRY_MS.get(refused.reason, refused.retry_ms),
        rate_kind=refused.rate_kind,
        rate_limit=refused.rate_limit,
        held_count=refused.running,
    )


def _rate(rate: Rate | None) -> pb.RateStatus | None:
    if rate is None:
        return None
    return pb.RateStatus(limit=rate.limit, remaining=rate.remaining, reset_ms=rate.reset_ms)
