"""``python -m services.edge``: the HTTP side of the gateway."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from services.common import logs, metrics
from services.common.dial import dial
from services.common.process import run, until_signal
from services.common.settings import newest, require_secret
from services.common.workers import supervise
from services.edge import app, cors, grace_file, slot, trace
from services.edge.admin.remote import Remote
from services.edge.admin.routes import admin_routes
from services.edge.admission import Admission
from services.edge.breaker import Breaker
from services.edge.bulk import Bulk
from services.edge.call import Rooms
from services.edge.catalog import Catalog, load_catalog
from services.edge.clients import AuthClient, QuotaClient
from services.edge.console.routes import console_routes
from services.edge.dispatch import Dispatch
from services.edge.grace import Grace
from services.edge.grace_book import GraceBook
from services.edge.grace_clock import Clock
from services.edge.grace_file import GraceFile
from services.edge.health import Readiness
from services.edge.heartbeat import Heartbeat
from services.edge.ledger import Ledger
from services.edge.metrics import EdgeMetrics
from services.edge.neighbour import place
from services.edge.outbox import Outbox
from services.edge.principals import Principals
from services.edge.running import Running
from services.edge.server import HttpServer
from services.edge.settings import EdgeSettings
from services.edge.slot import Slot
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
        auth = AuthClient(auth_channel, token, patience=settings.patience_seconds)
        principals = Principals(auth, stale_seconds=settings.principal_stale_seconds)
        upstream = Upstream(catalog.private())
        stack.push_async_callback(upstream.close)
        bulk = Bulk()
        stack.callback(bulk.close)
        money = await _money(settings, stack, quota_channel, auth, token, counts)
        readiness = Readiness({AUTH: auth_channel, QUOTA: quota_channel})
        rooms = Rooms(
            admission=Admission(
                principals,
                money.quota,
                money.grace,
                exhausted_status=int(settings.exhausted_status),
            ),
            catalog=catalog,
            dispatch=Dispatch(upstream, catalog, principals, money.ledger, counts, bulk),
            running=money.running,
            settlements=money.grace,
            bulk=bulk,
            max_body=settings.max_body_bytes,
            first_window=settings.first_window_tokens,
        )
        remote = Remote(auth_channel, quota_channel, service_token=token)
        people = [*admin_routes(remote), *_console(settings, remote, auth, token, catalog)]
        apart = bool(settings.admin_listen)
        shown = () if apart else people
        edge_id, sample = money.grace.edge_id, settings.trace_sample
        tracing = await enter(trace.opened(settings.otlp_endpoint, edge_id=edge_id, sample=sample))
        public = app.build(rooms, money.quota, readiness, counts, admin=shown, tracing=tracing)
        server = _server(settings, settings.listen, public)
        if apart:
            await enter(
                _beside(_server(settings, settings.admin_listen, app.build_admin(people, counts)))
            )
        metrics.expose(registry, settings.metrics_listen, certificate=settings.tls_cert)
        async with _listening(server, readiness, settings.notice_seconds):
            log.info("listening", address=server.address, edge_id=edge_id)
            yield server.address


@asynccontextmanager
async def _listening(
    server: HttpServer, readiness: Readiness, notice: float
) -> AsyncIterator[None]:
    """Up until the block ends; then it says so for ``notice`` seconds before it takes no more."""
    await server.start()
    try:
        yield
    finally:
        readiness.draining = True
        server.leave()
        await asyncio.sleep(notice)
        await server.stop()
        log.info("stopped")


def _server(settings: EdgeSettings, listen: str, served: ASGIApp) -> HttpServer:
    return HttpServer(
        cors.allowing(served, settings.cors_origins),
        listen=listen,
        drain_seconds=settings.drain_seconds,
        max_connections=settings.max_connections,
        shared=settings.worker > 0,
    )


@asynccontextmanager
async def _beside(admin: HttpServer) -> AsyncIterator[None]:
    """The control plane's own listener (GATEWAY_ADMIN_LISTEN), up until the public one is down."""
    await admin.start()
    log.info("listening_for_admins", address=admin.address)
    yield
    await admin.stop()


def _console(
    settings: EdgeSettings, remote: Remote, auth: AuthClient, token: str, catalog: Catalog
) -> list[BaseRoute]:
    apart = f"http://{settings.listen}" if settings.admin_listen else ""
    return console_routes(
        remote,
        verify=auth.verify,
        service_token=token,
        example_model=catalog.example(),
        public_url=settings.public_url or apart,
    )


@dataclass(frozen=True, slots=True)
class _Money:
    """What has to do with the ledger, and with its absence."""

    quota: QuotaClient
    grace: Grace
    ledger: Ledger
    running: Running


async def _money(
    settings: EdgeSettings,
    stack: AsyncExitStack,
    channel: grpc.aio.Channel,
    auth: AuthClient,
    token: str,
    counts: EdgeMetrics,
) -> _Money:
    """Started, to be ended by the stack in reverse: what it gets last is settled first."""
    own = slot.own(settings.data_dir)
    if own is not None:
        stack.callback(own.release)
    edge_id = own.edge_id if own else f"edge_{secrets.token_hex(8)}"
    breaker = Breaker("quota")
    patience, near = settings.patience_seconds, place(settings.quota_target, settings.tls_cert)
    quota = QuotaClient(
        channel, token, edge_id=edge_id, breaker=breaker, patience=patience, place=near
    )
    outbox = Outbox(own.path if own else None, quota.settle, counts)
    stack.push_async_callback(outbox.drain, settings.drain_seconds)
    grace = _grace(own, outbox, auth, edge_id, counts)
    stack.push_async_callback(grace.close)
    ledger = Ledger(quota, grace)
    every = settings.checkpoint_seconds
    running = Running(ledger.checkpoint, every=every)
    stack.push_async_callback(running.close)
    heartbeat = Heartbeat(quota.beat, quota.give_back, breaker, outbox, grace, every=every)
    stack.push_async_callback(heartbeat.close)
    outbox.start()
    running.start()
    heartbeat.start(settings.data_dir if own else None)
    counts.watch(lambda: outbox.pending, lambda: len(running))
    counts.outages.watch(lambda: outbox.durable, lambda: breaker.open)
    return _Money(quota, grace, ledger, running)


def _grace(
    own: Slot | None, outbox: Outbox, auth: AuthClient, edge_id: str, counts: EdgeMetrics
) -> Grace:
    """With what the process before this one wrote down, and what it left running booked."""
    book = grace_file.load(own.path) if own else GraceBook()
    grace = Grace(
        book,
        GraceFile(own.path, book) if own else None,
        outbox,
        partial(auth.record, edge_id),
        edge_id=edge_id,
        counted=lambda outcome: counts.outages.grace.labels(outcome).inc(),
        clock=Clock(),
    )
    grace.resume(book, outbox.known)
    return grace


def _dial(settings: EdgeSettings, target: str, service: str) -> grpc.aio.Channel:
    return dial(target, service, cert=settings.tls_cert, key=settings.tls_key, ca=settings.tls_ca)


async def main() -> int:
    settings = EdgeSettings.load()
    logs.configure("edge", settings.log_level, settings.log_format, settings.worker)
    log.info("settings", **settings.describe())
    if settings.workers > 1 and not settings.worker:
        return await supervise(
            "edge",
            settings.workers,
            shared={
                "GATEWAY_EDGE_LISTEN": settings.listen,
                "GATEWAY_ADMIN_LISTEN": settings.admin_listen,
            },
            own={"GATEWAY_EDGE_METRICS_LISTEN": settings.metrics_listen},
            stop_seconds=settings.notice_seconds + 2 * settings.drain_seconds,
        )
    async with serving(settings):
        await until_signal(worker=settings.worker)
    return 0


if __name__ == "__main__":
    run(main)
