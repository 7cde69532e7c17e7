"""A quota server in this process, and its stubs as the edge and an operator use them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from genai_prices.data_snapshot import get_snapshot
from prometheus_client import CollectorRegistry

from gateway.quota.v1 import admin_pb2_grpc, quota_pb2_grpc
from gateway.quota.v1 import quota_pb2 as pb
from services.common.access import Access
from services.common.border import Border
from services.common.metrics import RpcMetrics
from services.quota import catalog, scripts
from services.quota.__main__ import TRUST, administration
from services.quota.items import Owner
from services.quota.prices import PriceBook
from services.quota.service import QuotaService
from services.quota.sweeper import Sweeper
from tests.quota.world import World, name, now_ms

ADMIN_KEY = "a" * 40
SERVICE_TOKEN = "s" * 40
AS_EDGE = (("authorization", f"Bearer {SERVICE_TOKEN}"),)
AS_ADMIN = (("authorization", f"Bearer {ADMIN_KEY}"),)
CATALOG = Path(__file__).parent / "catalog.toml"


@dataclass
class Rpc:
    hot: Any
    admin: Any
    sweeper: Sweeper
    service: QuotaService
    registry: CollectorRegistry

    async def reserve(self, *items: pb.ReserveItem) -> list[Any]:
        request = pb.ReserveQuotaRequest(items=items)
        return list((await self.hot.ReserveQuota(request, timeout=60, metadata=AS_EDGE)).results)

    async def settle(self, *items: pb.SettleItem) -> list[Any]:
        request = pb.SettleReservationsRequest(items=items, caller_time_ms=now_ms())
        answer = await self.hot.SettleReservations(request, timeout=60, metadata=AS_EDGE)
        return list(answer.results)

    async def checkpoint(self, *items: pb.CheckpointItem, **more: Any) -> Any:
        fields: dict[str, Any] = {"edge_id": "edge_1", "caller_time_ms": now_ms()} | more
        request = pb.CheckpointReservationsRequest(items=items, **fields)
        return await self.hot.CheckpointReservations(request, timeout=60, metadata=AS_EDGE)


def prices() -> PriceBook:
    return PriceBook(catalog.load(str(CATALOG)), get_snapshot())


@asynccontextmanager
async def serving(
    ledger: World, *, min_edges: int = 1, clock: Callable[[], int] = now_ms
) -> AsyncIterator[Rpc]:
    registry = CollectorRegistry()
    sweeper = Sweeper(ledger.store, ledger.books, seconds=5, clock=clock, registry=registry)
    access = Access(ledger.kv, admin_key=ADMIN_KEY, service_token=SERVICE_TOKEN)
    server = grpc.aio.server(interceptors=[Border(access, RpcMetrics(registry), TRUST)])
    hot = QuotaService(ledger.store, prices(), min_edges=min_edges, seen=sweeper.see, clock=clock)
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(hot, server)
    admin = administration(ledger.kv, scripts.load())
    admin_pb2_grpc.add_QuotaAdminServiceServicer_to_server(admin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            hot_stub = quota_pb2_grpc.QuotaServiceStub(channel)
            stub = admin_pb2_grpc.QuotaAdminServiceStub(channel)
            yield Rpc(hot_stub, stub, sweeper, hot, registry)
    finally:
        await server.stop(None)


def owner_message(owner: Owner) -> pb.Owner:
    return pb.Owner(org_id=owner.org, user_id=owner.user, key_id=owner.key)


def reserve_item(owner: Owner, input_tokens: int = 10, output: int = 20, **more: Any) -> Any:
    fields: dict[str, Any] = {
        "reservation_id": name("rsv"),
        "fingerprint": "f",
        "owner": owner_message(owner),
        "model": "simulator/echo",
        "operation": "chat",
        "bound": pb.TokenUsage(input_tokens=input_tokens, output_tokens=output),
        "min_output_tokens": output,
        "caller_time_ms": now_ms(),
        "requested_model": "echo",
        "request_id": "req_1",
    }
    return pb.ReserveItem(**(fields | more))


def settle_item(item: Any, grant: Any, input_tokens: int, output: int, **more: Any) -> Any:
    fields: dict[str, Any] = {
        "reservation_id": item.reservation_id,
        "fingerprint": item.fingerprint,
        "owner": item.owner,
        "model": item.model,
        "operation": item.operation,
        "outcome": pb.SETTLE_OUTCOME_CHARGED,
        "usage": pb.TokenUsage(input_tokens=input_tokens, output_tokens=output),
        "month": grant.month,
        "admit_time_ms": grant.admit_time_ms,
        "held_nano_usd": grant.held_nano_usd,
        "request_id": item.request_id,
    }
    return pb.SettleItem(**(fields | more))
