"""A whole gateway in one event loop: real auth, real quota, real KV, a simulator, an edge."""

import asyncio
import os
import secrets
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import openai
from genai_prices.data_snapshot import get_snapshot
from prometheus_client import CollectorRegistry

from gateway.auth.v1 import admin_pb2, admin_pb2_grpc
from gateway.quota.v1 import admin_pb2 as quota_admin_pb2
from gateway.quota.v1 import admin_pb2_grpc as quota_admin_grpc
from gateway.quota.v1 import quota_pb2, quota_pb2_grpc
from services.auth.__main__ import join
from services.auth.settings import AuthSettings
from services.common.access import Access
from services.common.border import Border
from services.common.kv import open_kv
from services.common.metrics import RpcMetrics
from services.common.serve import Server
from services.edge import admission, clients
from services.edge.__main__ import serving as serving_edge
from services.edge.settings import EdgeSettings
from services.quota import catalog, scripts
from services.quota.__main__ import ADMIN_SERVICE, HOT_SERVICE, TRUST, administration, now_ms
from services.quota.books import Books
from services.quota.door import Door
from services.quota.prices import PriceBook
from services.quota.service import QuotaService
from services.quota.settings import QuotaSettings
from services.quota.store import LedgerStore
from services.quota.sweeper import Sweeper
from services.simulator.server import Simulator, beside
from services.simulator.settings import SimulatorSettings
from tests.edge.holding import holding_provider

ADMIN_KEY = "a" * 40
SERVICE_TOKEN = "s" * 40
CLOUDFLARE_TOKEN = "cf-canary-" + "c" * 24
PROVIDER_KEY = "sk-provider-canary-" + "k" * 20
USD = 1_000_000_000
CATALOG = Path(__file__).parent / "catalog.toml"
AS_ADMIN = (("authorization", f"Bearer {ADMIN_KEY}"),)

_BUSY_SECONDS = 25.0

T = TypeVar("T")


@dataclass
class Member:
    """An organisation, a user of it, and a key."""

    org: str
    user: str
    key_id: str
    key: str


@dataclass
class World:
    """Runs in a thread of its own; tests call it from theirs."""

    url: str
    edge_settings: EdgeSettings
    simulator: Simulator
    loop: asyncio.AbstractEventLoop
    auth: Any
    quota: Any
    addresses: dict[str, str] = field(default_factory=dict)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the world's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def member(
        self,
        *,
        budget: int = 100 * USD,
        limit: int = 100 * USD,
        org: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        key: dict[str, Any] | None = None,
    ) -> Member:
        """Somebody new; amounts are nano-USD."""
        return self.do(self._member(budget, limit, org or {}, user or {}, key or {}))

    async def _member(
        self,
        budget: int,
        limit: int,
        org_fields: dict[str, Any],
        user_fields: dict[str, Any],
        key_fields: dict[str, Any],
    ) -> Member:
        told = {"timeout": 5, "metadata": AS_ADMIN}
        asked = {"name": "Edge tests", "monthly_budget_nano_usd": budget, **org_fields}
        org = await self.auth.CreateOrganization(
            admin_pb2.CreateOrganizationRequest(organization=asked), **told
        )
        asked = {
            "org_id": org.org_id,
            "email": f"{secrets.token_hex(6)}@example.com",
            "monthly_limit_nano_usd": limit,
            **user_fields,
        }
        user = await self.auth.CreateUser(admin_pb2.CreateUserRequest(user=asked), **told)
        asked = {"user_id": user.user_id, **key_fields}
        made = await self.auth.CreateApiKey(admin_pb2.CreateApiKeyRequest(api_key=asked), **told)
        return Member(org.org_id, user.user_id, made.api_key.key_id, made.secret)

    def ask_auth(self, rpc: str, **fields: Any) -> Any:
        request = getattr(admin_pb2, f"{rpc}Request")(**fields)

        async def call() -> Any:
            return await getattr(self.auth, rpc)(request, timeout=5, metadata=AS_ADMIN)

        return self.do(call())

    def ask_quota(self, rpc: str, **fields: Any) -> Any:
        request = getattr(quota_admin_pb2, f"{rpc}Request")(**fields)

        async def call() -> Any:
            return await getattr(self.quota, rpc)(request, timeout=5, metadata=AS_ADMIN)

        return self.do(call())

    def usage(self, member: Member) -> Any:
        """The user's usage, once nothing of it is held any more."""
        owner = quota_pb2.Owner(org_id=member.org, user_id=member.user)
        deadline = time.monotonic() + _BUSY_SECONDS
        while (usage := self.ask_quota("GetUsage", owner=owner)).held_count:
            assert time.monotonic() < deadline, f"still held: {usage}"
            time.sleep(0.025)
        return usage

    def journal(self, member: Member) -> list[Any]:
        """The organisation's money entries, once nothing is held any more."""
        self.usage(member)
        return list(self.ask_quota("ListJournal", org_id=member.org, page_size=1_000).entries)

    def settled(self, member: Member) -> Any:
        """The one settlement of the organisation."""
        found = [e for e in self.journal(member) if e.kind in ("settle", "release")]
        assert len(found) == 1, found
        return found[0]

    @contextmanager
    def another_edge(self, **more: Any) -> Iterator[str]:
        """A second edge with other settings; its URL."""
        stack = AsyncExitStack()

        async def start() -> str:
            settings = self.edge_settings.model_copy(update=more)
            return await stack.enter_async_context(serving_edge(settings))

        try:
            yield f"http://{self.do(start())}"
        finally:
            self.do(stack.aclose())

    def client(self, member: Member, **options: Any) -> openai.OpenAI:
        told = {"max_retries": 0, "timeout": 20, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=member.key, **told)

    def async_client(self, member: Member, **options: Any) -> openai.AsyncOpenAI:
        told = {"max_retries": 0, "timeout": 20, **options}
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=member.key, **told)


@contextmanager
def world(kv_url: str) -> Iterator[World]:
    """All of it, until the block ends. One process does everybody's work here, so that the hot
    path's deadlines of a quarter of a second would test the machine."""
    admission.MAX_WRONG_KEYS = 10_000  # all tests come from one address
    clients.VERIFY_SECONDS = clients.RESERVE_SECONDS = clients.BOOK_SECONDS = 10.0
    running: Future[tuple[World, asyncio.Event]] = Future()
    with holding_provider() as held, beside(SimulatorSettings.immediate()) as simulator:
        os.environ["EDGE_TEST_HOLDING_URL"] = held
        os.environ["EDGE_TEST_PROVIDER_KEY"] = PROVIDER_KEY
        os.environ["EDGE_TEST_COMPAT_URL"] = f"{simulator.url}/v1/account/gateway/compat"
        os.environ["EDGE_TEST_REST_URL"] = f"{simulator.url}/client/v4/accounts/account/ai/v1"

        async def live() -> None:
            try:
                async with _joined(kv_url, simulator) as made:
                    stop = asyncio.Event()
                    running.set_result((made, stop))
                    await stop.wait()
            except BaseException as error:
                if not running.done():
                    running.set_exception(error)
                raise

        thread = threading.Thread(target=lambda: asyncio.run(live()), name="gateway")
        thread.start()
        made, stop = running.result(30)
        try:
            yield made
        finally:
            made.loop.call_soon_threadsafe(stop.set)
            thread.join(30)


@asynccontextmanager
async def _joined(kv_url: str, simulator: Simulator) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        auth = await _auth(kv_url, stack)
        quota = await _quota(kv_url, stack)
        auth_channel = await stack.enter_async_context(grpc.aio.insecure_channel(auth))
        quota_channel = await stack.enter_async_context(grpc.aio.insecure_channel(quota))
        data_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-"))
        settings = edge_settings(auth, quota, simulator.url, data_dir=data_dir)
        address = await stack.enter_async_context(serving_edge(settings))
        yield World(
            url=f"http://{address}",
            edge_settings=settings,
            simulator=simulator,
            loop=asyncio.get_running_loop(),
            auth=admin_pb2_grpc.AuthAdminServiceStub(auth_channel),
            quota=quota_admin_grpc.QuotaAdminServiceStub(quota_channel),
            addresses={"auth": auth, "quota": quota},
        )


def edge_settings(auth: str, quota: str, simulator: str, **more: Any) -> EdgeSettings:
    told: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "",
        "auth_target": auth,
        "quota_target": quota,
        "service_token": SERVICE_TOKEN,
        "catalog": CATALOG,
        "simulator_url": f"{simulator}/v1",
        "openai_api_key": "",
        "openai_base_url": "",
        "cloudflare_token": CLOUDFLARE_TOKEN,
        "cloudflare_account": "",
        "cloudflare_gateway": "",
        "checkpoint_seconds": 0.2,
        "max_body_bytes": 2 << 20,
        "drain_seconds": 2,
    }
    return EdgeSettings(_env_file=None, **(told | more))


async def _auth(kv_url: str, stack: AsyncExitStack) -> str:
    kv = open_kv(kv_url, timeout_ms=2_000, connections=16)
    stack.push_async_callback(kv.aclose)
    settings = AuthSettings(
        _env_file=None,
        listen="127.0.0.1:0",
        admin_api_key=ADMIN_KEY,
        service_token=SERVICE_TOKEN,
        master_key="11" * 32,
    )
    return await _started(join(settings, kv, CollectorRegistry()), stack)


async def _quota(kv_url: str, stack: AsyncExitStack) -> str:
    kv = open_kv(kv_url, timeout_ms=2_000, connections=16)
    stack.push_async_callback(kv.aclose)
    registry = CollectorRegistry()
    door, lua = Door(kv, timeout=2), scripts.load()
    store, books = LedgerStore(door, lua), Books(door)
    sweeper = Sweeper(store, books, seconds=5, clock=now_ms, registry=registry)
    prices = PriceBook(catalog.load(str(CATALOG)), get_snapshot())
    hot = QuotaService(store, prices, min_edges=1, seen=sweeper.see, clock=now_ms)
    access = Access(kv, admin_key=ADMIN_KEY, service_token=SERVICE_TOKEN)
    server = Server(
        listen="127.0.0.1:0",
        settings=QuotaSettings(_env_file=None),
        border=Border(access, RpcMetrics(registry), TRUST),
        services=[
            (HOT_SERVICE, partial(quota_pb2_grpc.add_QuotaServiceServicer_to_server, hot)),
            (
                ADMIN_SERVICE,
                partial(
                    quota_admin_grpc.add_QuotaAdminServiceServicer_to_server,
                    administration(kv, lua),
                ),
            ),
        ],
        ready=door.ping,
    )
    return await _started(server, stack)


async def _started(server: Server, stack: AsyncExitStack) -> str:
    await server.start()
    stack.push_async_callback(server.stop)
    return server.addresses[0]
