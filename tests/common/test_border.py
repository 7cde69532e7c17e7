"""A real server with our border, over a real KV."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.access import Access, caller
from services.common.border import HOT, Border
from services.common.dial import dial
from services.common.errors import (
    Exhausted,
    GatewayError,
    InvalidField,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    from_rpc,
)
from services.common.kv import open_kv
from services.common.metrics import RpcMetrics
from services.common.serve import Server
from services.common.settings import ServiceSettings, SettingsError

ADMIN = "a" * 40
SERVICE = "s" * 40
NAME = "gateway.auth.v1.AuthService"
Answer = Callable[[], Awaitable[None]]


class Scripted(auth_pb2_grpc.AuthServiceServicer):
    """Runs what the test put into it."""

    def __init__(self) -> None:
        self.act: Answer | None = None

    async def VerifyApiKey(self, request, context):  # type: ignore[no-untyped-def]
        if self.act:
            await self.act()
        principal = auth_pb2.Principal(org_id=caller.get().name)
        return auth_pb2.VerifyApiKeyResponse(principal=principal)

    async def GetProviderCredential(self, request, context):  # type: ignore[no-untyped-def]
        raise NotFound("none here")

    async def RecordAuditEvent(self, request, context):  # type: ignore[no-untyped-def]
        return auth_pb2.RecordAuditEventResponse()


class Setup:
    def __init__(self, scripted: Scripted, stub: auth_pb2_grpc.AuthServiceAsyncStub, address: str):
        self.scripted, self.stub, self.address = scripted, stub, address
        self.registry = CollectorRegistry()

    async def call(self, token: str = SERVICE, **metadata: str) -> auth_pb2.VerifyApiKeyResponse:
        sent = {"authorization": f"Bearer {token}", **metadata}
        try:
            return await self.stub.VerifyApiKey(
                auth_pb2.VerifyApiKeyRequest(), timeout=20, metadata=tuple(sent.items())
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None


@asynccontextmanager
async def running(kv_url: str, ready: Answer) -> AsyncIterator[Setup]:
    kv = open_kv(kv_url, timeout_ms=500, connections=4)
    scripted, registry = Scripted(), CollectorRegistry()
    access = Access(kv, admin_key=ADMIN, service_token=SERVICE)
    server = Server(
        listen="127.0.0.1:0",
        settings=ServiceSettings(drain_seconds=2),
        border=Border(access, RpcMetrics(registry), {NAME: HOT}),
        services=[(NAME, lambda s: auth_pb2_grpc.add_AuthServiceServicer_to_server(scripted, s))],
        ready=ready,
    )
    await server.start()
    channel = dial(server.addresses[0], NAME)
    await asyncio.wait_for(channel.channel_ready(), 5)
    setup = Setup(scripted, auth_pb2_grpc.AuthServiceStub(channel), server.addresses[0])
    setup.registry = registry
    try:
        yield setup
    finally:
        await channel.close()
        await server.stop()
        await kv.aclose()


async def ok() -> None:
    return None


@pytest.fixture
async def setup(kv_url: str) -> AsyncIterator[Setup]:
    async with running(kv_url, ok) as found:
        yield found


async def test_the_service_token_opens_the_hot_path(setup: Setup) -> None:
    answer = await setup.call()
    assert answer.principal.org_id == "service"


async def test_an_admin_key_does_not_open_the_hot_path(setup: Setup) -> None:
    with pytest.raises(PermissionDenied):
        await setup.call(ADMIN)


async def test_a_wrong_credential_is_refused(setup: Setup) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await setup.call("wrong")
    assert refused.value.reason == "CREDENTIAL_INVALID"


async def test_guessing_is_slowed_and_says_for_how_long(setup: Setup) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await setup.call("wrong")
    with pytest.raises(Exhausted) as refused:
        await setup.call("wrong")
    with pytest.raises(PermissionDenied):  # known at once; it is only the wrong kind
        await setup.call(ADMIN)
    assert refused.value.reason == "TOO_MANY_ATTEMPTS"
    assert 0 < (refused.value.retry_after_ms or 0) <= 60_001


async def test_our_own_processes_are_not_slowed_by_who_guesses_beside_them(setup: Setup) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await setup.call("wrong")
    assert (await setup.call()).principal.org_id == "service"


async def test_the_edge_names_the_guessing_peer_behind_it(setup: Setup) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await setup.call("wrong", **{"x-gateway-service": SERVICE, "x-gateway-peer": "9.9.9.9"})
    await setup.call()


async def test_a_hot_call_without_deadline_is_refused(setup: Setup) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await setup.stub.VerifyApiKey(
            auth_pb2.VerifyApiKeyRequest(), metadata=(("authorization", f"Bearer {SERVICE}"),)
        )
    assert from_rpc(refused.value).reason == "DEADLINE_MISSING"


@pytest.mark.parametrize(
    "error",
    [
        InvalidField("user.email", "must contain @"),
        NotFound("No such user", metadata={"resource": "user"}),
        Unavailable("the KV does not answer", retry_after_ms=1_500),
    ],
)
async def test_errors_arrive_as_they_were_raised(setup: Setup, error: GatewayError) -> None:
    async def fail() -> None:
        raise error

    setup.scripted.act = fail
    with pytest.raises(type(error)) as arrived:
        await setup.call()
    assert arrived.value.message == error.message
    assert arrived.value.reason == error.reason
    assert arrived.value.retry_after_ms == error.retry_after_ms
    assert arrived.value.metadata == error.metadata


async def test_a_bug_tells_the_caller_nothing_and_is_counted(setup: Setup) -> None:
    async def fail() -> None:
        raise RuntimeError("secret path /x")

    setup.scripted.act = fail
    with pytest.raises(GatewayError) as arrived:
        await setup.call()
    assert arrived.value.reason == "INTERNAL"
    assert "secret" not in arrived.value.message
    labels = {"method": f"/{NAME}/VerifyApiKey", "reason": "INTERNAL"}
    assert setup.registry.get_sample_value("gateway_rpc_requests_total", labels) == 1


async def test_unavailable_is_not_repeated_behind_the_callers_back(setup: Setup) -> None:
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise Unavailable("the KV does not answer")

    setup.scripted.act = fail
    with pytest.raises(Unavailable):
        await setup.call()
    assert calls == 1


async def test_health_is_open_and_follows_readiness(kv_url: str) -> None:
    well = False

    async def ready() -> None:
        if not well:
            raise Unavailable("not yet")

    kv = open_kv(kv_url, timeout_ms=500, connections=2)
    server = Server(
        listen="127.0.0.1:0",
        settings=ServiceSettings(drain_seconds=1),
        border=Border(
            Access(kv, admin_key=ADMIN, service_token=SERVICE), RpcMetrics(CollectorRegistry()), {}
        ),
        services=[],
        ready=ready,
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=10
        )
        seen = []
        async for answer in watch:
            seen.append(answer.status)
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
            well = True
    assert seen[0] == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop()
    await kv.aclose()


async def test_F3_reflection_needs_a_credential(setup: Setup) -> None:
    async with grpc.aio.insecure_channel(setup.address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]

        async def ask(**metadata: str) -> list[str]:
            call = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
                timeout=2,
                metadata=tuple(metadata.items()),
            )
            return [s.name async for r in call for s in r.list_services_response.service]

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert NAME in await ask(authorization=f"Bearer {ADMIN}")


async def test_F1_listening_beyond_loopback_without_certificates_is_refused(kv_url: str) -> None:
    kv = open_kv(kv_url, timeout_ms=500, connections=2)
    with pytest.raises(SettingsError, match="GATEWAY_TLS_CERT"):
        Server(
            listen="0.0.0.0:0",
            settings=ServiceSettings(),
            border=Border(
                Access(kv, admin_key=ADMIN, service_token=SERVICE),
                RpcMetrics(CollectorRegistry()),
                {},
            ),
            services=[],
            ready=ok,
        )
    await kv.aclose()


async def test_a_service_token_and_an_admin_key_can_be_replaced_without_an_outage(
    kv_url: str,
) -> None:
    kv = open_kv(kv_url, timeout_ms=500, connections=1)
    access = Access(kv, admin_key="new-admin, old-admin", service_token="new-token,old-token")

    async def who(token: str) -> str:
        return (await access.identify({"authorization": f"Bearer {token}"}, "peer")).name

    assert [await who(t) for t in ("new-token", "old-token")] == ["service", "service"]
    assert [await who(t) for t in ("new-admin", "old-admin")] == ["admin", "admin"]
    for wrong in ("new-token,old-token", "older", "", ","):
        with pytest.raises(Unauthenticated):
            await who(wrong)
    await kv.aclose()
