"""``python -m services.edge``: the HTTP side of the gateway."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from starlette.routing import BaseRoute

from services.common import logs, metrics
from services.common.dial import dial
from services.common.process import run, until_signal
from services.common.settings import newest, require_secret
from services.edge import app
from services.edge.admin.remote import Remote
from services.edge.admin.routes import admin_routes
from services.edge.admission import Admission
from services.edge.call import Rooms
from services.edge.catalog import Catalog, load_catalog
from services.edge.clients import AuthClient, QuotaClient
from services.edge.console.routes import console_routes
from services.edge.dispatch import Dispatch
from services.edge.health import Readiness
from services.edge.metrics import EdgeMetrics
from services.edge.principals import Principals
from services.edge.running import Running
from services.edge.server import HttpServer
from services.edge.settings import EdgeSettings
from services.edge.settlements import MemorySettlements
from services.edge.upstream import Upstream

AUTH = "gateway.auth.v1.AuthService"
QUOTA = "gateway.quota.v1.QuotaService"

log = logs.logger("edge")


@asynccontextmanager
async def serving(settings: EdgeSettings) -> AsyncIterator[str]:
    """A whole edge in this event loop until the block ends; the value is its address."""
    token = newest(require_secret("GATEWAY_SERVICE_TOKEN", settings.service_token))
    catalog = load_catalog(settings)
    registry = metrics.new_registry()
    counts = EdgeMetrics(registry)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        auth_channel = await enter(_dial(settings, settings.auth_target, AUTH))
        quota_channel = await enter(_dial(settings, settings.quota_target, QUOTA))
        edge_id = f"edge_{secrets.token_hex(8)}"
        quota = QuotaClient(quota_channel, token, edge_id=edge_id)
        principals = Principals(auth := AuthClient(auth_channel, token))
        upstream = Upstream()
        stack.push_async_callback(upstream.close)
        settlements = MemorySettlements(quota.settle, counts)
        stack.push_async_callback(settlements.drain, settings.drain_seconds)
        running = Running(quota.checkpoint, every=settings.checkpoint_seconds)
        stack.push_async_callback(running.close)
        running.start()
        counts.watch(lambda: settlements.pending, lambda: len(running))
        readiness = Readiness({AUTH: auth_channel, QUOTA: quota_channel})
        rooms = Rooms(
            admission=Admission(principals, quota, settlements),
            catalog=catalog,
            dispatch=Dispatch(upstream, catalog, principals, quota, counts),
            running=running,
            settlements=settlements,
            max_body=settings.max_body_bytes,
            first_window=settings.first_window_tokens,
        )
        remote = Remote(auth_channel, quota_channel, service_token=token)
        console = _console(remote, auth, token, catalog)
        server = HttpServer(
            app.build(rooms, quota, readiness, counts, admin=[*admin_routes(remote), *console]),
            listen=settings.listen,
            drain_seconds=settings.drain_seconds,
            max_connections=settings.max_connections,
        )
        metrics.expose(registry, settings.metrics_listen)
        await server.start()
        log.info("listening", address=server.address, edge_id=edge_id)
        try:
            yield server.address
        finally:
            readiness.draining = True
            await asyncio.sleep(settings.notice_seconds)
            await server.stop()
            log.info("stopped")


def _console(remote: Remote, auth: AuthClient, token: str, catalog: Catalog) -> list[BaseRoute]:
    model = catalog.example()
    return console_routes(remote, verify=auth.verify, service_token=token, example_model=model)


def _dial(settings: EdgeSettings, target: str, service: str) -> grpc.aio.Channel:
    return dial(target, service, cert=settings.tls_cert, key=settings.tls_key, ca=settings.tls_ca)


async def main() -> None:
    settings = EdgeSettings.load()
    logs.configure("edge", settings.log_level, settings.log_format)
    log.info("settings", **settings.describe())
    async with serving(settings):
        await until_signal()


if __name__ == "__main__":
    run(main)
