"""Streams over a unix socket carry what gRPC's carry: answers, errors, the border's refusals."""

import asyncio
import contextlib
import socket as sockets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.quota.v1 import quota_pb2 as pb
from services.common.access import Access
from services.common.border import HOT, Border
from services.common.errors import (
    GatewayError,
    InvalidField,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from services.common.local import ANSWER, ASK, FAILED, HELLO, Frames, LocalServer, frame
from services.common.metrics import RpcMetrics
from services.edge import clients, line
from services.edge.clients import QuotaClient
from services.edge.neighbour import place
from tests.edge.test_line import Streaming, answers, reserve
from tests.edge.test_replicas import SERVICE, asking, listening
from tests.system.fleet import free_ports
from tests.waiting import until

TOKEN = "t" * 40
NAME = f"/{SERVICE}/StreamReserveQuota"


@pytest.fixture(autouse=True)
def without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine no reserve is repeated for being slow."""
    monkeypatch.setattr(clients, "RESERVE_SECONDS", 10.0)


@pytest.fixture
def socket() -> Any:
    with tempfile.TemporaryDirectory(prefix="near-") as directory:
        yield str(Path(directory) / "quota.sock.line")


def there(socket: str) -> bool:
    return Path(socket).exists()


def leave_behind(socket: str) -> None:
    """As a process that was killed; newer Pythons tidy up behind themselves."""
    if not there(socket):
        with contextlib.closing(sockets.socket(sockets.AF_UNIX)) as left:
            left.bind(socket)


class Quota:
    """Answers on a socket behind a border; raises ``error`` first where there is one."""

    def __init__(self, socket: str) -> None:
        self.heard = 0
        self.opened = 0
        self.leaving = False
        self.error: GatewayError | None = None
        self.metrics = RpcMetrics(CollectorRegistry())
        access = Access(None, admin_key="a" * 40, service_token=TOKEN)  # type: ignore[arg-type]
        border = Border(access, self.metrics, {SERVICE: HOT})
        self.handler = border.around(NAME, self._answered, pb.StreamReserveQuotaRequest)
        self.server = LocalServer(socket, {NAME: self})

    async def admit(self, context: Any) -> bool:
        admitted = await self.handler.admit(context)
        self.opened += admitted
        return admitted

    async def answer(self, request: bytes, context: Any) -> bytes | None:
        return await self.handler.answer(request, context)

    async def _answered(self, request: pb.StreamReserveQuotaRequest) -> pb.ReserveQuotaResponse:
        self.heard += 1
        if self.error is not None:
            raise self.error
        results = [pb.ReserveResult() for _ in request.items]
        return pb.ReserveQuotaResponse(results=results, last=self.leaving)

    def counted(self, reason: str) -> float:
        return self.metrics.calls.of(NAME, reason).value


@asynccontextmanager
async def near(socket: str, token: str = TOKEN) -> AsyncIterator[tuple[QuotaClient, Streaming]]:
    """A client that knows ``socket``, and what it reaches by gRPC."""
    replica, (port,) = Streaming(answers), free_ports(1)
    async with listening(replica, port), asking([port], place=socket, token=token) as quota:
        yield quota, replica


async def test_a_neighbour_is_asked_on_one_stream_and_each_request_is_counted(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    async with near(socket) as (quota, replica):
        await reserve(quota, 20)
    await own.server.stop()
    assert (own.opened, own.heard, own.counted("OK")) == (1, 20, 20)
    assert (replica.opened, replica.asked) == (0, [])
    assert not there(socket)


@pytest.mark.parametrize(
    "error", [Unavailable("the KV does not answer"), InvalidField("items", "must be few")], ids=str
)
async def test_an_error_is_the_same_as_by_grpc(socket: str, error: GatewayError) -> None:
    own = Quota(socket)
    own.error = error
    await own.server.start()
    async with near(socket) as (quota, replica):
        with pytest.raises(type(error), match=error.message) as raised:
            await reserve(quota)
        own.error = None
        await reserve(quota, 2)
    await own.server.stop()
    assert raised.value.reason == error.reason
    assert own.counted(error.reason) == 1
    assert (own.heard, replica.asked) == (3, [])


async def test_a_wrong_credential_does_not_get_in(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    async with near(socket, token="w" * 40) as (quota, _):
        with pytest.raises(Unauthenticated):
            await reserve(quota)
    await own.server.stop()
    assert own.heard == 0


async def test_an_admin_key_is_not_the_gateways_own_credential(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    async with near(socket, token="a" * 40) as (quota, _):
        with pytest.raises(PermissionDenied):
            await reserve(quota)
    await own.server.stop()
    assert own.heard == 0


async def test_without_a_socket_it_is_grpc(socket: str) -> None:
    async with near(socket) as (quota, replica):
        await reserve(quota, 3)
    assert (replica.opened, replica.heard) == (1, 3)


async def test_a_socket_that_a_dead_process_left_costs_no_reserve(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    assert own.server._server is not None
    own.server._server.close()
    await own.server._server.wait_closed()
    leave_behind(socket)
    async with near(socket) as (quota, replica):
        await reserve(quota, 3)
    assert replica.heard + len(replica.asked) == 3


async def test_a_neighbour_that_leaves_answers_what_it_was_asked(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    async with near(socket) as (quota, replica):
        await reserve(quota)
        own.leaving = True
        await asyncio.gather(own.server.stop(), reserve(quota, 5))
    assert own.heard + replica.heard + len(replica.asked) == 6


async def test_a_neighbour_that_dies_costs_no_reserve(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Quota(socket)
    await own.server.start()
    async with near(socket) as (quota, replica):
        await reserve(quota)
        for stream in list(own.server._streams):
            stream._transport.abort()
        await reserve(quota, 2)
    await own.server.stop()
    assert own.heard + replica.heard + len(replica.asked) == 3


async def test_a_stream_that_nobody_uses_is_ended(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "IDLE_SECONDS", 0.02)
    own = Quota(socket)
    await own.server.start()
    async with near(socket) as (quota, _):
        await reserve(quota)
        await until(lambda: not own.server._streams)
        await reserve(quota)
    await own.server.stop()
    assert own.heard == 2


async def spoken(socket: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        frame(ASK, b""),
        frame(HELLO, f"{NAME}\nBearer {TOKEN}".encode()) * 2,
        frame(HELLO, b"/nobody/Knows\nBearer x"),
        frame(9, b""),
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        frame(HELLO, f"{NAME}\nBearer {TOKEN}".encode()) + frame(ASK, b"") * 17,
    ],
    ids=["no hello", "two", "unknown method", "unknown kind", "HTTP", "too many at once"],
)
async def test_a_stranger_is_hung_up_on(socket: str, data: bytes) -> None:
    own = Quota(socket)
    await own.server.start()
    assert await spoken(socket, data) == b""
    await own.server.stop()


async def test_what_is_no_request_is_refused(socket: str) -> None:
    own = Quota(socket)
    await own.server.start()
    hello = frame(HELLO, f"{NAME}\nBearer {TOKEN}".encode())
    [(kind, _)] = Frames().feed(await spoken(socket, hello + frame(ASK, b"\xff\xff")))
    await own.server.stop()
    assert kind == FAILED


def test_a_frame_that_says_to_be_too_large_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="too large"):
        Frames().feed(frame(ASK, b"x" * ((1 << 20) + 1))[:5])


def test_frames_are_the_same_however_they_are_cut() -> None:
    data = frame(ASK, b"one") + frame(ANSWER, b"") + frame(FAILED, b"x" * 300)
    for size in (1, 2, 7, len(data)):
        frames, found = Frames(), []
        for at in range(0, len(data), size):
            found += frames.feed(data[at : at + size])
        assert found == [(ASK, b"one"), (ANSWER, b""), (FAILED, b"x" * 300)]


def test_only_a_unix_socket_without_certificates_is_a_neighbour() -> None:
    assert place("unix:/run/quota.sock", "") == "/run/quota.sock.line"
    assert place("unix:/run/quota.sock", "cert.pem") == ""
    assert place("127.0.0.1:50052", "") == place("dns:///quota:50052", "") == ""
