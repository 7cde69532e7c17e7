"""The hot RPCs: what a request may cost, what it costs so far, what it did cost."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from gateway.quota.v1 import quota_pb2 as pb
from gateway.quota.v1 import quota_pb2_grpc as rpc
from services.common import keys
from services.common.errors import InvalidField
from services.quota import lines, results, wire
from services.quota.items import (
    Checkpoint,
    Granted,
    Refused,
    Reserve,
    Settle,
    Settled,
)
from services.quota.prices import PriceBook, Unpriced
from services.quota.shares import Shares
from services.quota.store import LedgerStore

MAX_ITEMS = 1_000
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
        self._lines = lines.ItemLog()
        self._leaving = False

    def leave(self) -> None:
        """This process is about to stop: every stream is told with its next answer."""
        self._leaving = True

    async def ReserveQuota(
        self, request: pb.ReserveQuotaRequest, context: Context
    ) -> pb.ReserveQuotaResponse:
        return await self._reserve(request)

    async def StreamReserveQuota(
        self, requests: AsyncIterator[pb.StreamReserveQuotaRequest], context: Context
    ) -> AsyncIterator[pb.ReserveQuotaResponse]:
        async for request in requests:
            yield await self.reserve_next(request)

    async def reserve_next(self, request: pb.StreamReserveQuotaRequest) -> pb.ReserveQuotaResponse:
        """The answer to one request of a stream."""
        answer = await self._reserve(request)
        if self._leaving:
            answer.last = True
        return answer

    async def SettleReservations(
        self, request: pb.SettleReservationsRequest, context: Context
    ) -> pb.SettleReservationsResponse:
        return await self._settle(request)

    async def StreamSettleReservations(
        self, requests: AsyncIterator[pb.StreamSettleReservationsRequest], context: Context
    ) -> AsyncIterator[pb.SettleReservationsResponse]:
        async for request in requests:
            yield await self.settle_next(request)

    async def settle_next(
        self, request: pb.StreamSettleReservationsRequest
    ) -> pb.SettleReservationsResponse:
        """The answer to one request of a stream."""
        answer = await self._settle(request)
        if self._leaving:
            answer.last = True
        return answer

    async def _reserve(
        self, request: pb.ReserveQuotaRequest | pb.StreamReserveQuotaRequest
    ) -> pb.ReserveQuotaResponse:
        items, settlements = _listed(request.items), _listed(request.settlements)
        read = self._read(items, wire.reserve)
        asks = [ask for ask in read if isinstance(ask, Reserve)]
        for org in {ask.owner.org for ask in asks}:
            self._seen(org)
        response = pb.ReserveQuotaResponse()
        if not settlements or len(settlements) > MAX_ITEMS:
            answers = await self._store.reserve(asks) if asks else []
            self._admitted(response.results, items, read, answers)
            return response
        along = self._read(settlements, wire.settle)
        settles = [item for item in along if isinstance(item, Settle)]
        booked, answers = await self._store.settle_and_reserve(settles, asks)
        self._admitted(response.results, items, read, answers)
        if booked is not None:
            self._booked(response.settlement_results, settlements, along, booked)
        return response

    def _admitted(
        self,
        told: Any,
        items: Sequence[pb.ReserveItem],
        read: Sequence[Read],
        found: Sequence[Granted | Refused],
    ) -> None:
        """Fills in ``told``, the results in a response."""
        answers = iter(found)
        for item, ask in zip(items, read, strict=True):
            result = told.add()
            if isinstance(ask, Reserve):
                results.reserve(result, ask, next(answers))
            else:
                result.refusal.CopyFrom(ask)
            self._lines.tell("reserve", item, result)

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
                else results.checkpoint(note, next(answers))
                for note in read
                if isinstance(note, Checkpoint | pb.Refusal)
            ],
            shares=await self._shares.hand_out(request),
            prices=self._shares.prices(request.price_models),
            store_epoch="" if request.items else await self._store.epoch(),
        )

    async def _settle(
        self, request: pb.SettleReservationsRequest | pb.StreamSettleReservationsRequest
    ) -> pb.SettleReservationsResponse:
        items = _listed(request.items)
        read = self._read(items, wire.settle)
        settles = [item for item in read if isinstance(item, Settle)]
        response = pb.SettleReservationsResponse()
        found = await self._store.settle(settles) if settles else []
        self._booked(response.results, items, read, found)
        return response

    def _booked(
        self,
        told: Any,
        items: Sequence[pb.SettleItem],
        read: Sequence[Read],
        found: Sequence[Settled],
    ) -> None:
        """Fills in ``told``, the results in a response."""
        answers = iter(found)
        for item, settle in zip(items, read, strict=True):
            result = told.add()
            if isinstance(settle, Settle):
                results.settle(result, next(answers))
            else:
                result.refusal.CopyFrom(settle)
            self._lines.tell("settle", item, result)

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


def _listed(items: Any) -> list[Any]:
    """A message's items, or one too many: its own way of going over them ends with an exception."""
    found: list[Any] = items[: MAX_ITEMS + 1]
    return found


def _bounded(field: str, items: Sequence[Any]) -> None:
    if len(items) > MAX_ITEMS:
        raise InvalidField(field, f"must be at most {MAX_ITEMS}")
