"""The admin API: over a recorder that stands for auth and quota, and in a whole gateway."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from services.edge.admin.remote import Remote
from services.edge.admin.routes import admin_routes
from services.edge.envelope import Envelope, http_error
from services.edge.metrics import EdgeMetrics
from tests.edge.world import World, world
from tests.edge_admin.recorder import Recorder
from tests.edge_admin.rest import Rest

ADMIN_KEY = "an-admin-key-of-more-than-32-characters"
SERVICE_TOKEN = "a-service-token-of-more-than-32-characters"


def application(remote: Remote) -> Starlette:
    """The admin routes inside the edge's envelope."""
    return Starlette(
        routes=admin_routes(remote),
        middleware=[Middleware(Envelope, metrics=EdgeMetrics(CollectorRegistry()))],
        exception_handlers={HTTPException: http_error},
    )


@dataclass
class Api:
    http: httpx.AsyncClient
    recorder: Recorder

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.http.request(method, path, **options)


@pytest.fixture
async def recorder_channel() -> AsyncIterator[tuple[Recorder, grpc.aio.Channel]]:
    recorder = Recorder()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield recorder, channel
    await server.stop(0)


@pytest.fixture
async def api(recorder_channel: tuple[Recorder, grpc.aio.Channel]) -> AsyncIterator[Api]:
    recorder, channel = recorder_channel
    remote = Remote(channel, channel, service_token=SERVICE_TOKEN)
    app = application(remote)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://edge", headers=headers
    ) as http:
        yield Api(http, recorder)


@pytest.fixture(scope="session")
def gateway(kv_url: str) -> Iterator[World]:
    """One gateway for all tests of a worker; each test brings its own organisation."""
    with world(kv_url) as made:
        yield made


@pytest.fixture
def rest(gateway: World) -> Iterator[Rest]:
    made = Rest(gateway.url)
    yield made
    made.close()
