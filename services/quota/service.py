"""The hot RPCs: what a request may cost, what it costs so far, what it did cost."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from gateway.quota.v1 import quota_pb2 as pb
from gateway.quota.v1 import quota_pb2_grpc as rpc
from services.common import keys
from services.common.errors import InvalidField
from services.quota import lines, wire
from services.quota.items import (
    Checked,
    Checkpoint,
    Granted,
    Rate,
    Refused,
    Reserve,
    Settle,
    Settled,
)
from services.quota.months import next_start_ms
from services.quota.prices import PriceBook, Unpriced
from services.quota.shares import Shares
from services.quota.store import LedgerStore

MAX_ITEMS = 1_000
_RETRY_MS = {"BUDGET_HELD": 2_000, "CLOCK_SKEW": 1_000}
_TOO_OLD = "This reservation is unknown and older than the replay window"
_STATES = {
    "": pb.RESERVATION_STATE_UNSPECIFIED,
    "reserved": pb.RESERVATION_STATE_RESERVED,
    "settled": pb.RESERVATION_STATE_SETTLED,
    "released": pb.RESERVATION_STATE_RELEASED,
    "expired": pb.RESERVATION_STATE_EXPIRED,
}
Context = grpc.aio.ServicerContext[Any, Any]
Read = Reserve | Checkpoint | Settle | pb.Refusal


class QuotaService(rpc.QuotaServiceServicer):
    """``seen`` is told every organisation that holds money; ``clock`` gives Unix milliseconds."""

    def __init__(
        self,
        store: LedgerStore,
        prices: PriceBook,
        *,
        min_edges: int,
        seen: Callable[[str], None],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._prices = prices
        self._shares = Shares(store, prices, min_edges=min_edges, clock=clock)
        self._seen = seen
        self._clock = clock

    async def ReserveQuota(
        self, request: pb.ReserveQuotaRequest, context: Context
    ) -> pb.ReserveQuotaResponse:
        read = self._read(request.items, wire.reserve)
        asks = [ask for ask in read if isinstance(ask, Reserve)]
        for ask in asks:
            self._seen(ask.owner.org)
        answers = iter(await self._store.reserve(asks) if asks else [])
        results = [
            pb.ReserveResult(refusal=ask)
            if isinstance(ask, pb.Refusal)
            else _reserve_result(ask, next(answers))
            for ask in read
            if isinstance(ask, Reserve | pb.Refusal)
        ]
        lines.tell("reserve", request.items, results)
        return pb.ReserveQuotaResponse(results=results)

    async def CheckpointReservations(
        self, request: pb.CheckpointReservationsRequest, context: Context
    ) -> pb.CheckpointReservationsResponse:
        if not keys.is_id(request.edge_id):
            raise InvalidField("edge_id", "is required: 1 to 64 letters, digits, _ or -")
        for field in ("share_org_ids", "price_models", "returned_shares"):
            _bounded(field, getattr(request, field))
        if not request.items:
            await self._store.write(request.edge_id, self._clock())
        await self._shares.take_back(request)
        read = self._read(request.items, wire.checkpoint)
        notes = [note for note in read if isinstance(note, Checkpoint)]
        for note in notes:
            self._seen(note.owner.org)
        answers = iter(await self._store.checkpoint(notes) if notes else [])
        return pb.CheckpointReservationsResponse(
            results=[
                pb.CheckpointResult(refusal=note)
                if isinstance(note, pb.Refusal)
                else _checkpoint_result(note, next(answers))
                for note in read
                if isinstance(note, Checkpoint | pb.Refusal)
            ],
            shares=await self._shares.hand_out(request),
            prices=self._shares.prices(request.price_models),
            store_epoch="" if request.items else await self._store.epoch(),
        )

    async def SettleReservations(
        self, request: pb.SettleReservationsRequest, context: Context
    ) -> pb.SettleReservationsResponse:
        read = self._read(request.items, wire.settle)
        settles = [item for item in read if isinstance(item, Settle)]
        answers = iter(await self._store.settle(settles) if settles else [])
        results = [
            pb.SettleResult(refusal=item)
            if isinstance(item, pb.Refusal)
            else _settle_result(next(answers))
            for item in read
        ]
        lines.tell("settle", request.items, results)
        return pb.SettleReservationsResponse(results=results)

    def _read(self, items: Sequence[Any], reader: Callable[..., Read]) -> list[Read]:
        """Each item as the ledger's word, or as the refusal of this item alone."""
        _bounded("items", items)
        now = self._clock()
        found: list[Read] = []
        for item in items:
            try:
                found.append(reader(item, self._prices, now))
            except InvalidField as error:
                found.append(
                    pb.Refusal(reason=error.reason, field=error.field, message=error.message)
                )
            except Unpriced as error:
                found.append(pb.Refusal(reason="MODEL_NOT_PRICED", message=str(error)))
        return found


def _bounded(field: str, items: Sequence[Any]) -> None:
    if len(items) > MAX_ITEMS:
        raise InvalidField(field, f"must be at most {MAX_ITEMS}")


def _reserve_result(ask: Reserve, answer: Granted | Refused) -> pb.ReserveResult:
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


def _checkpoint_result(note: Checkpoint, answer: Checked) -> pb.CheckpointResult:
    if answer.state == "CONFLICT":
        return pb.CheckpointResult(refusal=pb.Refusal(reason="IDEMPOTENCY_CONFLICT"))
    return pb.CheckpointResult(
        state=_STATES[answer.state],
        output_tokens=answer.output,
        held_nano_usd=answer.held,
        refusal=_refusal(answer.refused, note.bound.nano(note.want)) if answer.refused else None,
    )


def _settle_result(answer: Settled) -> pb.SettleResult:
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
