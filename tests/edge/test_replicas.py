"""A quota that stops, starts or hangs fails no request: the next one is asked, by the same id."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.quota.v1 import quota_pb2, quota_pb2_grpc
from services.common.channel import SERVER_OPTIONS
from services.common.dial import dial
from services.common.errors import Unanswered, Unavailable, to_status
from services.edge import asking as asking_module
from services.edge import clients
from services.edge.breaker import Breaker
from services.edge.clients import QuotaClient
from tests.system.fleet import free_ports

SERVICE = "gateway.quota.v1.QuotaService"
ITEM = quota_pb2.ReserveItem(request_id="one")


@pytest.fixture(autouse=True)
def as_short_as_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway that other tests share waits longer than real ones do."""
    monkeypatch.setattr(clients, "RESERVE_SECONDS", 0.25)


class Replica(quota_pb2_grpc.QuotaServiceServicer):
    """Remembers what it was asked, and does what it is told."""

    def __init__(self, do: Callable[[Any], Awaitable[object]]) -> None:
        self.asked: list[str] = []
        self.granted: list[float] = []
        self.clocks: list[int] = []
        self._do = do

    async def ReserveQuota(
        self, request: quota_pb2.ReserveQuotaRequest, context: Any
    ) -> quota_pb2.ReserveQuotaResponse:
        self.asked += [item.request_id for item in request.items]
        self.granted.append(context.time_remaining())
        self.clocks += [item.caller_time_ms for item in request.items]
        await self._do(context)
        return quota_pb2.ReserveQuotaResponse(results=[quota_pb2.ReserveResult()])

    async def CheckpointReservations(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def SettleReservations(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def StreamReserveQuota(
        self, requests: AsyncIterator[quota_pb2.StreamReserveQuotaRequest], context: Any
    ) -> AsyncIterator[quota_pb2.ReserveQuotaResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)  # as a quota older than the RPC
        yield quota_pb2.ReserveQuotaResponse()

    async def StreamSettleReservations(
        self, requests: AsyncIterator[quota_pb2.StreamSettleReservationsRequest], context: Any
    ) -> AsyncIterator[quota_pb2.SettleReservationsResponse]:
        raise NotImplementedError
        yield quota_pb2.SettleReservationsResponse()


async def answers(_: Any) -> None:
    pass


async def hangs(_: Any) -> None:
    await asyncio.Event().wait()


async def refuses(context: Any) -> None:
    status = to_status(Unavailable("the KV does not answer"))
    pushback = ("grpc-retry-pushback-ms", "-1")
    await context.abort(status.code, status.details, (*status.trailing_metadata, pushback))


@asynccontextmanager
async def listening(replica: Replica, port: int) -> AsyncIterator[None]:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    quota_pb2_grpc.add_QuotaServiceServicer_to_server(replica, server)
    healthy = health.aio.HealthServicer()
    await healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@asynccontextmanager
async def asking(
    ports: list[int], *, patience: float = 30, place: str = "", token: str = "t" * 32
) -> AsyncIterator[QuotaClient]:
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    async with dial(target, SERVICE) as channel:
        breaker = Breaker("quota")
        yield QuotaClient(
            channel, token, edge_id="e", breaker=breaker, patience=patience, place=place
        )


async def test_one_replica_of_two_hangs_and_every_reserve_is_answered() -> None:
    good, bad = Replica(answers), Replica(hangs)
    ports = free_ports(2)
    async with AsyncExitStack() as stack:
        for replica, port in zip((good, bad), ports, strict=True):
            await stack.enter_async_context(listening(replica, port))
        quota = await stack.enter_async_context(asking(ports))
        while not bad.asked:  # round robin, once both are connected
            await quota.reserve(ITEM)
        await quota.reserve(ITEM)
    assert set(good.asked) == {"one"}


async def test_a_replica_that_is_about_to_start_is_waited_for() -> None:
    replica = Replica(answers)
    (port,) = free_ports(1)
    async with asking([port]) as quota:
        early = asyncio.create_task(quota.reserve(ITEM))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(early), 0.3)
        async with listening(replica, port):
            await early
    assert set(replica.asked) == {"one"}


async def test_who_waited_for_a_replica_tells_it_the_time_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking_module, "_LATER_SECONDS", 0.2)
    replica = Replica(answers)
    (port,) = free_ports(1)
    async with asking([port]) as quota:
        began = time.time_ns() // 1_000_000
        early = asyncio.create_task(quota.reserve(ITEM))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(early), 1.0)
        async with listening(replica, port):
            await early
    assert min(replica.clocks) > began + 250


async def test_a_quota_that_cannot_decide_has_answered_and_is_not_asked_again() -> None:
    replica = Replica(refuses)
    (port,) = free_ports(1)
    async with listening(replica, port), asking([port]) as quota:
        with pytest.raises(Unavailable, match="the KV does not answer"):
            await quota.reserve(ITEM)
    assert replica.asked == ["one"]


async def test_nobody_is_waited_for_longer_than_the_patience() -> None:
    replica = Replica(hangs)
    (port,) = free_ports(1)
    async with listening(replica, port), asking([port], patience=0.8) as quota:
        began = time.monotonic()
        with pytest.raises(Unanswered):
            await quota.reserve(ITEM)
        assert time.monotonic() - began >= 0.8
    assert replica.asked == ["one"] * 3
    assert sum(replica.granted) <= 0.8
