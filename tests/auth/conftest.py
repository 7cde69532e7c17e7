"""A real auth service over this worker's Valkey, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from gateway.auth.v1 import admin_pb2, admin_pb2_grpc, auth_pb2, auth_pb2_grpc
from services.auth.__main__ import AUTH_ADMIN, join
from services.auth.settings import AuthSettings
from services.common import secret, serve
from services.common.dial import dial
from services.common.errors import from_rpc
from services.common.kv import open_kv

ADMIN = "a" * 40
SERVICE = "s" * 40
MASTER = "11" * 32
USD = 1_000_000_000


class Clock:
    """Unix seconds that only the test moves."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Client:
    """One caller. Every RPC of both services by its name: ``await client.GetUser(user_id=…)``;
    refusals are raised as our errors."""

    def __init__(self, channel: grpc.aio.Channel, token: str, **metadata: str) -> None:
        self._channel, self._token, self._metadata = channel, token, metadata
        self._stubs = (
            admin_pb2_grpc.AuthAdminServiceStub(channel),
            auth_pb2_grpc.AuthServiceStub(channel),
        )

    def but(self, token: str = "", **metadata: str) -> Client:
        """The same caller with another token, or with more metadata (``x_request_id=…``)."""
        return Client(self._channel, token or self._token, **{**self._metadata, **metadata})

    def __getattr__(self, rpc: str) -> Any:
        hot = hasattr(auth_pb2, f"{rpc}Request")
        stub = getattr(self._stubs[1 if hot else 0], rpc)
        request = getattr(auth_pb2 if hot else admin_pb2, f"{rpc}Request")

        async def call(**fields: Any) -> Any:
            sent = {"authorization": f"Bearer {self._token}"} if self._token else {}
            sent |= {name.replace("_", "-"): text for name, text in self._metadata.items()}
            try:
                return await stub(request(**fields), timeout=5, metadata=tuple(sent.items()))
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error) from None

        return call


class Auth:
    """A running service: ``admin`` and ``edge`` call it, ``kv`` looks behind it."""

    def __init__(self, address: str, channel: grpc.aio.Channel, kv: Any, clock: Clock) -> None:
        self.address, self.channel, self.kv, self.clock = address, channel, kv, clock
        self.admin = Client(channel, ADMIN)
        self.edge = Client(channel, SERVICE)

    async def org(self, name: str = "Demo", **fields: Any) -> admin_pb2.Organization:
        asked = {"name": name, "monthly_budget_nano_usd": 100 * USD, **fields}
        made: admin_pb2.Organization = await self.admin.CreateOrganization(organization=asked)
        return made

    async def user(self, org: str, email: str = "ada@example.com", **fields: Any) -> admin_pb2.User:
        asked = {"org_id": org, "email": email, "monthly_limit_nano_usd": 10 * USD, **fields}
        made: admin_pb2.User = await self.admin.CreateUser(user=asked)
        return made

    async def key(self, user: str, **fields: Any) -> admin_pb2.CreateApiKeyResponse:
        made: admin_pb2.CreateApiKeyResponse = await self.admin.CreateApiKey(
            api_key={"user_id": user, **fields}
        )
        return made

    async def family(self) -> tuple[admin_pb2.Organization, admin_pb2.User, Any]:
        """An organisation, a user of it, and a key of the user."""
        org = await self.org()
        user = await self.user(org.org_id)
        return org, user, await self.key(user.user_id)

    async def verify(self, key: str) -> auth_pb2.Principal:
        answer = await self.edge.VerifyApiKey(key_hash=secret.digest(key))
        found: auth_pb2.Principal = answer.principal
        return found

    async def everything(self) -> dict[str, Any]:
        """Every key of the KV and its value."""
        read = {
            "string": self.kv.get,
            "hash": self.kv.hgetall,
            "zset": lambda name: self.kv.zrange(name, 0, -1, withscores=True),
            "stream": self.kv.xrange,
        }
        return {
            name: await read[await self.kv.type(name)](name)
            async for name in self.kv.scan_iter(count=1000)
        }


@asynccontextmanager
async def running(
    kv_url: str, clock: Clock, wrap: Callable[[Any], Any] = lambda kv: kv, **settings: Any
) -> AsyncIterator[Auth]:
    asked = {"listen": "127.0.0.1:0", "admin_api_key": ADMIN, "service_token": SERVICE}
    made = AuthSettings(**{"_env_file": None, **asked, "master_key": MASTER, **settings})
    kv = wrap(open_kv(kv_url, timeout_ms=2_000, connections=16, cluster=made.kv_cluster))
    server = join(made, kv, CollectorRegistry(), clock)
    await server.start()
    channel = dial(server.addresses[0], AUTH_ADMIN)
    await asyncio.wait_for(channel.channel_ready(), 5)
    try:
        yield Auth(server.addresses[0], channel, kv, clock)
    finally:
        await channel.close()
        await server.stop()
        await kv.aclose()


@pytest.fixture(autouse=True)
def no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to notice that these servers leave."""
    monkeypatch.setattr(serve, "_NOTICE_SECONDS", 0)


@pytest.fixture
async def auth(kv_flush: str) -> AsyncIterator[Auth]:
    async with running(kv_flush, Clock()) as found:
        yield found
