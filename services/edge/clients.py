"""auth and quota as the edge sees them: a deadline on every call, errors back in our tree."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import grpc

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from gateway.quota.v1 import admin_pb2, admin_pb2_grpc, quota_pb2, quota_pb2_grpc
from services.common.errors import GatewayError, Unanswered, Unavailable, from_rpc
from services.common.ids import current_request
from services.edge.breaker import Breaker, NotAsked
from services.edge.coalescer import Coalescer
from services.edge.line import Line

VERIFY_SECONDS = 0.25
RESERVE_SECONDS = 0.25
BOOK_SECONDS = 1.0
READ_SECONDS = 5.0
_SECOND_SECONDS = 0.25
_LATER_SECONDS = 1.0

Metadata = tuple[tuple[str, str], ...]
Asked = TypeVar("Asked", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Rpc(Protocol[Asked, Answer]):
    """One unary RPC of a stub."""

    def __call__(
        self,
        request: Asked,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> Awaitable[Answer]: ...


class AuthClient:
    """Who is calling. ``patience`` is how long a question takes in all. Raises GatewayError."""

    def __init__(self, channel: grpc.aio.Channel, token: str, *, patience: float) -> None:
        self._again = _again(patience)
        self._stub = auth_pb2_grpc.AuthServiceStub(channel)
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),)

    async def verify(self, key_hash: str) -> auth_pb2.Principal:
        answer = await _call(
            self._stub.VerifyApiKey,
            auth_pb2.VerifyApiKeyRequest(key_hash=key_hash),
            _for_request(self._metadata),
            VERIFY_SECONDS,
            "auth",
            self._again,
        )
        return answer.principal

    async def credential(self, org_id: str, provider: str) -> str:
        """An organisation's own key for a provider."""
        answer = await _call(
            self._stub.GetProviderCredential,
            auth_pb2.GetProviderCredentialRequest(org_id=org_id, provider=provider),
            _for_request(self._metadata),
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
        await _call(call, request, self._metadata, BOOK_SECONDS, "auth")


class QuotaClient:
    """What a request may cost. Reserves leave in batches as they gather, and not at all while
    ``breaker`` is open. ``patience`` is how long one takes in all. Raises GatewayError."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: str,
        *,
        edge_id: str,
        breaker: Breaker,
        patience: float,
    ) -> None:
        self._again = _again(patience)
        self._stub = stub = quota_pb2_grpc.QuotaServiceStub(channel)
        self._ask: Line[quota_pb2.StreamReserveQuotaRequest, quota_pb2.ReserveQuotaResponse] = Line(
            stub.StreamReserveQuota,
            stub.ReserveQuota,
            lambda request: quota_pb2.ReserveQuotaRequest(items=request.items),
        )
        self._book: Line[
            quota_pb2.StreamSettleReservationsRequest, quota_pb2.SettleReservationsResponse
        ] = Line(
            stub.StreamSettleReservations,
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

    async def reserve(self, item: quota_pb2.ReserveItem) -> quota_pb2.ReserveResult:
        """Raises NotAsked where the ledger has not heard of it."""
        self._breaker.check()
        return await self._reserves(item)

    async def checkpoint(
        self, items: Sequence[quota_pb2.CheckpointItem]
    ) -> Sequence[quota_pb2.CheckpointResult]:
        request = quota_pb2.CheckpointReservationsRequest(
            edge_id=self._edge_id, items=items, caller_time_ms=_now_ms()
        )
        call = self._stub.CheckpointReservations
        answer = await _call(call, request, self._metadata, BOOK_SECONDS, "quota")
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
            return await _call(call, request, self._metadata, BOOK_SECONDS, "quota")
        return await _call(call, request, self._metadata, RESERVE_SECONDS, "quota", self._again)

    async def give_back(self, shares: list[quota_pb2.GraceShare]) -> None:
        """What this edge, which stops, has spent of each of its shares; it keeps nothing else."""
        request = quota_pb2.CheckpointReservationsRequest(
            edge_id=self._edge_id, returned_shares=shares, caller_time_ms=_now_ms()
        )
        await _call(
            self._stub.CheckpointReservations, request, self._metadata, BOOK_SECONDS, "quota"
        )

    async def settle(
        self, items: Sequence[quota_pb2.SettleItem]
    ) -> Sequence[quota_pb2.SettleResult]:
        request = quota_pb2.StreamSettleReservationsRequest(items=items, caller_time_ms=_now_ms())
        answer = await _call(self._book, request, self._metadata, BOOK_SECONDS, "quota")
        return answer.results

    async def usage(self, owner: quota_pb2.Owner) -> admin_pb2.Usage:
        """What a key or a user spent and holds in the current month."""
        request = admin_pb2.GetUsageRequest(owner=owner)
        metadata = _for_request(self._metadata)
        call = self._usage.GetUsage
        return await _call(call, request, metadata, READ_SECONDS, "quota", self._again)

    async def _reserve(
        self, items: list[quota_pb2.ReserveItem]
    ) -> Sequence[quota_pb2.ReserveResult]:
        request = quota_pb2.StreamReserveQuotaRequest(items=items)
        began = time.monotonic()
        try:
            answer = await _call(
                self._ask, request, self._metadata, RESERVE_SECONDS, "quota", self._again, _stamp
            )
        except Unavailable as error:
            silent = isinstance(error, Unanswered)
            self._breaker.failed(time.monotonic() - began, silent=silent)
            if self._breaker.open:
                self._reserves.abandon(NotAsked(str(error), metadata=error.metadata))
            raise
        self._breaker.succeeded()
        return answer.results


def _again(patience: float) -> tuple[float, ...]:
    """How long the attempts after the first one take, where nobody answers: a replica that stops,
    starts or hangs fails no request. Each goes to the next replica, as soon as there is one."""
    rest, lengths = patience - RESERVE_SECONDS, list[float]()
    while rest > 0:
        lengths.append(min(rest, _LATER_SECONDS if lengths else _SECOND_SECONDS))
        rest -= lengths[-1]
    return tuple(lengths)


def _stamp(request: quota_pb2.StreamReserveQuotaRequest) -> None:
    """The ledger refuses a clock that is off, and an attempt that waited brings an old time."""
    now = _now_ms()
    for item in request.items:
        item.caller_time_ms = now


def _as_it_is(_: object) -> None:
    pass


async def _call(
    rpc: Rpc[Asked, Answer],
    request: Asked,
    metadata: Metadata,
    seconds: float,
    service: str,
    again: Sequence[float] = (),
    ready: Callable[[Asked], None] = _as_it_is,
) -> Answer:
    """``again`` is for what may be repeated; ``ready`` sees the request before each attempt. Raises
    GatewayError."""
    ready(request)
    try:
        return await rpc(request, timeout=seconds, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raised: GatewayError = from_rpc(error)
        if not (again and isinstance(raised, Unanswered)):
            if isinstance(raised, Unavailable):
                raised.metadata.setdefault("service", service)
            raise raised from error
    waits = partial(rpc, wait_for_ready=True)
    return await _call(waits, request, metadata, again[0], service, again[1:], ready)


def _for_request(metadata: Metadata) -> Metadata:
    """With the id of the HTTP request behind it. Batches have none: their items carry theirs."""
    request_id = current_request.get()
    return (*metadata, ("x-request-id", request_id)) if request_id else metadata


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
