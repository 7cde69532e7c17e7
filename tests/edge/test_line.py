"""Reserves over a stream that stays open: each is answered, whatever becomes of the stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from gateway.quota.v1 import quota_pb2 as pb
from services.common.errors import Unavailable
from services.edge import clients, line
from services.edge.clients import QuotaClient
from tests.edge import test_replicas
from tests.edge.test_replicas import Replica, asking, listening
from tests.system.fleet import free_ports
from tests.waiting import until


@pytest.fixture(autouse=True)
def without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine no reserve is repeated for being slow."""
    monkeypatch.setattr(clients, "RESERVE_SECONDS", 10.0)


Act = Callable[[Any], Awaitable[bool]]
"""What a replica does with a request of a stream: True answers and goes on."""


class Streaming(Replica):
    """Counts its streams; ``asked`` are the calls beside them."""

    def __init__(self, act: Act) -> None:
        super().__init__(_nothing)
        self.opened = self.ended = self.heard = 0
        self.leaving = False
        self._act = act

    async def StreamReserveQuota(
        self, requests: AsyncIterator[pb.StreamReserveQuotaRequest], context: Any
    ) -> AsyncIterator[pb.ReserveQuotaResponse]:
        self.opened += 1
        try:
            async for request in requests:
                self.heard += 1
                if not await self._act(context):
                    return
                results = [pb.ReserveResult() for _ in request.items]
                yield pb.ReserveQuotaResponse(results=results, last=self.leaving)
        finally:
            self.ended += 1


async def _nothing(_: Any) -> None:
    pass


async def answers(_: Any) -> bool:
    return True


async def breaks_off(_: Any) -> bool:
    return False


async def hangs(_: Any) -> bool:
    await asyncio.Event().wait()
    return False


async def refuses(context: Any) -> bool:
    await test_replicas.refuses(context)
    return False


@asynccontextmanager
async def over(*replicas: Streaming) -> AsyncIterator[QuotaClient]:
    ports = free_ports(len(replicas))
    async with AsyncExitStack() as stack:
        for replica, port in zip(replicas, ports, strict=True):
            await stack.enter_async_context(listening(replica, port))
        yield await stack.enter_async_context(asking(ports))


async def reserve(quota: QuotaClient, times: int = 1) -> None:
    for n in range(times):
        await quota.reserve(pb.ReserveItem(request_id=str(n)))


async def test_one_stream_carries_all_reserves() -> None:
    replica = Streaming(answers)
    async with over(replica) as quota:
        await reserve(quota, 20)
    assert (replica.opened, replica.heard, replica.asked) == (1, 20, [])


async def test_a_stream_that_breaks_off_costs_no_reserve() -> None:
    replica = Streaming(breaks_off)
    async with over(replica) as quota:
        await reserve(quota, 3)
    assert replica.opened == 3
    assert replica.asked == ["0", "1", "2"]


async def test_a_replica_that_leaves_is_asked_no_more_and_its_stream_ends() -> None:
    leaving, other = Streaming(answers), Streaming(answers)
    async with over(leaving, other) as quota:
        while not (leaving.opened and other.opened):
            leaving.leaving = other.leaving = True  # each answer is the stream's last
            await reserve(quota)
        other.leaving = False
        await reserve(quota, 2)  # one of them ends up at the one that stays
        heard = leaving.heard
        await reserve(quota, 5)
        assert leaving.heard == heard
        await until(lambda: leaving.ended == leaving.opened)
    assert leaving.asked == other.asked == []


async def test_a_stream_whose_server_hangs_is_left_and_the_reserve_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "RESERVE_SECONDS", 0.25)
    replica = Streaming(hangs)
    async with over(replica) as quota:
        await reserve(quota, 2)
        await until(lambda: replica.ended == 2)
    assert replica.asked == ["0", "1"]


async def test_an_error_on_a_stream_is_the_answer() -> None:
    replica = Streaming(refuses)
    async with over(replica) as quota:
        with pytest.raises(Unavailable, match="the KV does not answer"):
            await reserve(quota)
    assert (replica.heard, replica.asked) == (1, [])


async def test_a_quota_without_streams_is_called() -> None:
    replica = Replica(_nothing)
    (port,) = free_ports(1)
    async with listening(replica, port), asking([port]) as quota:
        await reserve(quota, 3)
    assert replica.asked == ["0", "1", "2"]


async def test_a_stream_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Streaming(answers)
    monkeypatch.setattr(line, "LIFE_SECONDS", 0.0)
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.01)
    async with over(replica) as quota:
        await reserve(quota, 3)
        await until(lambda: replica.ended == replica.opened)
    assert replica.opened > 1
    assert replica.heard + len(replica.asked) == 3


async def test_a_stream_that_nobody_uses_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Streaming(answers)
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.02)
    async with over(replica) as quota:
        await reserve(quota)
        await until(lambda: replica.ended == 1)
        await reserve(quota)
    assert replica.heard == 2


async def test_a_second_one_at_once_is_a_call() -> None:
    release = asyncio.Event()

    async def waits(_: Any) -> bool:
        await release.wait()
        return True

    replica = Streaming(waits)
    async with over(replica) as quota:
        ask = quota._ask
        request = pb.StreamReserveQuotaRequest(items=[pb.ReserveItem(request_id="second")])
        first = asyncio.create_task(ask(request, timeout=20, metadata=None))
        await until(lambda: replica.heard == 1)
        await ask(request, timeout=20, metadata=None)
        assert replica.asked == ["second"]
        release.set()
        assert len((await first).results) == 1


async def test_who_gives_up_leaves_no_stream_behind() -> None:
    replica = Streaming(hangs)
    async with over(replica) as quota:
        request = pb.StreamReserveQuotaRequest(items=[pb.ReserveItem()])
        asked = asyncio.create_task(quota._ask(request, timeout=20, metadata=None))
        await until(lambda: replica.heard == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: replica.ended == 1)


async def test_a_late_answer_is_a_passed_deadline() -> None:
    replica = Streaming(hangs)
    async with over(replica) as quota:
        request = pb.StreamReserveQuotaRequest(items=[pb.ReserveItem()])
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await quota._ask(request, timeout=0.05, metadata=None)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
