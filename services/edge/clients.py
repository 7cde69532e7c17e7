"""auth and quota as the edge sees them: a deadline on every call, errors back in our tree."""

import time
from collections.abc import Coroutine, Sequence
from typing import Any

import grpc

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from gateway.quota.v1 import admin_pb2, admin_pb2_grpc, quota_pb2, quota_pb2_grpc
from services.common.errors import Unanswered, Unavailable
from services.edge.asking import Metadata, ask, attempts, for_request
from services.edge.breaker import Breaker, NotAsked
from services.edge.coalescer import Coalescer
from services.edge.line import Line
from services.edge.neighbour import nearby
from services.edge.principal import Principal, told
from services.edge.riders import Riders

VERIFY_SECONDS = 0.25
RESERVE_SECONDS = 0.25
BOOK_SECONDS = 1.0
READ_SECONDS = 5.0

Reserving = Coroutine[Any, Any, quota_pb2.ReserveResult]


class AuthClient:
    """Who is calling. ``patience`` is how long a question takes in all. Raises GatewayError."""

    def __init__(self, channel: grpc.aio.Channel, token: str, *, patience: float) -> None:
        self._again = attempts(RESERVE_SECONDS, patience)
        self._stub = auth_pb2_grpc.AuthServiceStub(channel)
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),)

    async def verify(self, key_hash: str) -> Principal:
        answer = await ask(
            self._stub.VerifyApiKey,
            auth_pb2.VerifyApiKeyRequest(key_hash=key_hash),
            for_request(self._metadata),
            VERIFY_SECONDS,
            "auth",
            self._again,
        )
        return told(answer.principal)

    async def credential(self, org_id: str, provider: str) -> str:
        """An organisation's own key for a provider."""
        answer = await ask(
            self._stub.GetProviderCredential,
            auth_pb2.GetProviderCredentialRequest(org_id=org_id, provider=provider),
            for_request(self._metadata),
            VERIFY_SECONDS,
            "auth",
            self._again,
        )
        return answer.credential

    async def record(
        self, actor: str, event_id: str, org_id: str, action: str, details: dict[str, str]
    ) -> None:
        """An event for the organisation's audit trail."""
        request = auth_pb2.RecordAuditEventRequest(
            event_id=event_id,
            org_id=org_id,
            action=action,
            actor=actor,
            target=org_id,
            details=details,
        )
        call = self._stub.RecordAuditEvent
        await ask(call, request, self._metadata, BOOK_SECONDS, "auth")


class QuotaClient:
    """What a request may cost. Reserves leave in batches as they gather, and not at all while
    ``breaker`` is open. ``patience`` is how long one takes in all; ``place`` where a neighbour's
    own streams are. Raises GatewayError."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: str,
        *,
        edge_id: str,
        breaker: Breaker,
        patience: float,
        place: str = "",
    ) -> None:
        self._again = attempts(RESERVE_SECONDS, patience)
        self._stub = stub = quota_pb2_grpc.QuotaServiceStub(channel)
        self._ask: Line[quota_pb2.StreamReserveQuotaRequest, quota_pb2.ReserveQuotaResponse] = Line(
            nearby(
                place,
                "/gateway.quota.v1.QuotaService/StreamReserveQuota",
                quota_pb2.ReserveQuotaResponse,
                stub.StreamReserveQuota,
            ),
            stub.ReserveQuota,
            lambda request: quota_pb2.ReserveQuotaRequest(
                items=request.items, settlements=request.settlements
            ),
        )
        self._book: Line[
            quota_pb2.StreamSettleReservationsRequest, quota_pb2.SettleReservationsResponse
        ] = Line(
            nearby(
                place,
                "/gateway.quota.v1.QuotaService/StreamSettleReservations",
                quota_pb2.SettleReservationsResponse,
                stub.StreamSettleReservations,
            ),
            stub.SettleReservations,
            lambda request: quota_pb2.SettleReservationsRequest(
                items=request.items, caller_time_ms=request.caller_time_ms
            ),
        )
        self._usage = admin_pb2_grpc.QuotaAdminServiceStub(channel)
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),)
        self._edge_id = edge_id
        self._breaker = breaker
        self._reserves = Coalescer(self._reserve)
        self._riders = Riders(self._settle, lambda: self._reserves.busy)

    def reserve(self, item: quota_pb2.ReserveItem) -> Reserving:
        """Raises NotAsked where the ledger has not heard of it."""
        self._breaker.check()
        return self._reserves(item)

    async def checkpoint(
        self, items: Sequence[quota_pb2.CheckpointItem]
    ) -> Sequence[quota_pb2.CheckpointResult]:
        request = quota_pb2.CheckpointReservationsRequest(
            edge_id=self._edge_id, items=items, caller_time_ms=_now_ms()
        )
        call = self._stub.CheckpointReservations
        answer = await ask(call, request, self._metadata, BOOK_SECONDS, "quota")
        return answer.results

    async def beat(
        self, share_org_ids: list[str], price_models: list[str]
    ) -> quota_pb2.CheckpointReservationsResponse:
        """A sign of life: shares, prices, and which KV the ledger stands on."""
        request = quota_pb2.CheckpointReservationsRequest(
            edge_id=self._edge_id,
            share_org_ids=share_org_ids,
            price_models=price_models,
            caller_time_ms=_now_ms(),
        )
        call = self._stub.CheckpointReservations
        if share_org_ids or price_models:
            return await ask(call, request, self._metadata, BOOK_SECONDS, "quota")
        return await ask(call, request, self._metadata, RESERVE_SECONDS, "quota", self._again)

    async def give_back(self, shares: list[quota_pb2.GraceShare]) -> None:
        """What this edge, which stops, has spent of each of its shares; it keeps nothing else."""
        request = quota_pb2.CheckpointReservationsRequest(
            edge_id=self._edge_id, returned_shares=shares, caller_time_ms=_now_ms()
        )
        await ask(self._stub.CheckpointReservations, request, self._metadata, BOOK_SECONDS, "quota")

    async def settle(
        self, items: Sequence[quota_pb2.SettleItem]
    ) -> Sequence[quota_pb2.SettleResult]:
        """With the next reserve, if there is one at hand."""
        return await self._riders(items)

    async def _settle(
        self, items: Sequence[quota_pb2.SettleItem]
    ) -> Sequence[quota_pb2.SettleResult]:
        request = quota_pb2.StreamSettleReservationsRequest(items=items, caller_time_ms=_now_ms())
        answer = await ask(self._book, request, self._metadata, BOOK_SECONDS, "quota")
        return answer.results

    async def usage(self, owner: quota_pb2.Owner) -> admin_pb2.Usage:
        """What a key or a user spent and holds in the current month."""
        request = admin_pb2.GetUsageRequest(owner=owner)
        metadata = for_request(self._metadata)
        call = self._usage.GetUsage
        return await ask(call, request, metadata, READ_SECONDS, "quota", self._again)

    async def _reserve(
        self, items: list[quota_pb2.ReserveItem]
    ) -> Sequence[quota_pb2.ReserveResult]:
        party = self._riders.board()
        request = quota_pb2.StreamReserveQuotaRequest(items=items, settlements=party.items)
        began = time.monotonic()
        try:
            answer = await ask(
                self._ask, request, self._metadata, RESERVE_SECONDS, "quota", self._again, _stamp
            )
        except Unavailable as error:
            party.stranded(error)
            silent = isinstance(error, Unanswered)
            self._breaker.failed(time.monotonic() - began, silent=silent)
            if self._breaker.open:
                self._reserves.abandon(NotAsked(str(error), metadata=error.metadata))
            raise
        else:
            self._breaker.succeeded()
            party.arrived(answer.settlement_results)
            return answer.results
        finally:
            party.leave()


def _stamp(request: quota_pb2.StreamReserveQuotaRequest) -> None:
    """The ledger refuses a clock that is off, and an attempt that waited brings an old time."""
    now = _now_ms()
    for item in request.items:
        item.caller_time_ms = now


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
