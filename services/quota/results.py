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


def reserve(result: pb.ReserveResult, ask: Reserve, answer: Granted | Refused) -> None:
    """Fills in ``result``."""
    result.revision = answer.revision
    if answer.requests is not None:
        result.request_rate.CopyFrom(_rate(answer.requests))
    if answer.tokens is not None:
        result.token_rate.CopyFrom(_rate(answer.tokens))
    if isinstance(answer, Refused):
        result.refusal.CopyFrom(_refusal(answer, ask.bound.nano(ask.output)))
        return
    grant = result.grant
    grant.held_nano_usd = answer.held
    grant.output_tokens = answer.output
    grant.month = answer.month
    grant.admit_time_ms = answer.admit_ms
    grant.duplicate = answer.duplicate
    grant.state = _STATES[answer.state]
    grant.output_price_pico_usd = ask.bound.output


def checkpoint(note: Checkpoint, answer: Checked) -> pb.CheckpointResult:
    if answer.state == "CONFLICT":
        return pb.CheckpointResult(refusal=pb.Refusal(reason="IDEMPOTENCY_CONFLICT"))
    return pb.CheckpointResult(
        state=_STATES[answer.state],
        output_tokens=answer.output,
        held_nano_usd=answer.held,
        refusal=_refusal(answer.refused, note.bound.nano(note.want)) if answer.refused else None,
    )


def settle(result: pb.SettleResult, answer: Settled) -> None:
    """Fills in ``result``."""
    result.state = _STATES[answer.state]
    result.charged_nano_usd = answer.charged
    if answer.code == "DUP":
        result.duplicate = True
    elif answer.code == "CONFLICT":
        result.refusal.reason = "IDEMPOTENCY_CONFLICT"
    elif answer.code == "OLD":
        result.refusal.CopyFrom(pb.Refusal(reason="PRECONDITION_FAILED", message=_TOO_OLD))


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


def _rate(rate: Rate) -> pb.RateStatus:
    return pb.RateStatus(limit=rate.limit, remaining=rate.remaining, reset_ms=rate.reset_ms)
