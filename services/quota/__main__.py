"""The quota service as a process: settings, KV, prices, ledger, sweeper, server."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from genai_prices.data_snapshot import get_snapshot

from gateway.quota.v1 import admin_pb2_grpc, quota_pb2_grpc
from gateway.quota.v1 import quota_pb2 as pb
from services.common import logs, metrics
from services.common.access import Access
from services.common.border import ADMIN, HOT, REFLECTION, Border
from services.common.idempotency import Idempotency
from services.common.kv import Kv, open_kv, require_fit
from services.common.local import SUFFIX, LocalServer
from services.common.logins import LoginWatch
from services.common.process import run, until_signal
from services.common.serve import Server
from services.common.settings import require_secret
from services.common.trail import Trail
from services.common.workers import supervise
from services.quota import catalog, scripts
from services.quota.admin import QuotaAdminService
from services.quota.archivist import Archivist
from services.quota.books import Books
from services.quota.door import Door
from services.quota.prices import PriceBook
from services.quota.records import UsageRecords
from services.quota.resets import Resets
from services.quota.service import QuotaService
from services.quota.settings import QuotaSettings
from services.quota.store import LedgerStore
from services.quota.sweeper import Sweeper
from services.quota.verify import Auditor

HOT_SERVICE = "gateway.quota.v1.QuotaService"
ADMIN_SERVICE = "gateway.quota.v1.QuotaAdminService"
TRUST = {
    HOT_SERVICE: HOT,
    ADMIN_SERVICE: ADMIN,
    "grpc.reflection.v1alpha.ServerReflection": REFLECTION,
}
_ADMIN_MS = 4_000
"""Admin RPCs may wait this long for the KV, below their deadline of five seconds."""

_SOCKET_MS = 1_000
"""A connection on which the KV says nothing for so long is given up. Callers wait shorter, at the
door; what they asked may still be answered."""

log = logs.logger("quota")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main() -> int:
    settings = QuotaSettings.load()
    logs.configure("quota", settings.log_level, settings.log_format, settings.worker)
    log.info("settings", **settings.describe())
    if settings.workers > 1 and not settings.worker:
        return await supervise(
            "quota",
            settings.workers,
            shared={
                "GATEWAY_QUOTA_LISTEN": settings.listen,
                "GATEWAY_HEALTH_LISTEN": settings.health_listen,
            },
            own={"GATEWAY_QUOTA_METRICS_LISTEN": settings.metrics_listen},
            stop_seconds=settings.drain_seconds,
        )
    await serve(settings)
    return 0


async def serve(settings: QuotaSettings) -> None:
    """The service in this process, until a signal."""
    prices = PriceBook(catalog.load(settings.catalog), get_snapshot())
    lua, registry = scripts.load(), metrics.new_registry()
    kv = _open(settings, max(settings.kv_timeout_ms, _SOCKET_MS))
    admin_kv = _open(settings, _ADMIN_MS)
    trail = Trail(admin_kv, now_ms)
    access = _access(settings, kv, trail)
    await _fit(kv, settings)
    door = Door(kv, timeout=settings.kv_timeout_ms / 1000)
    store, books = LedgerStore(door, lua), Books(door)
    sweeper = Sweeper(store, books, seconds=settings.sweep_seconds, clock=now_ms, registry=registry)
    hot = QuotaService(
        store, prices, min_edges=settings.grace_min_edges, seen=sweeper.see, clock=now_ms
    )
    border = Border(access, metrics.RpcMetrics(registry), TRUST)
    server = Server(
        listen=settings.listen,
        settings=settings,
        border=border,
        services=[
            (HOT_SERVICE, partial(quota_pb2_grpc.add_QuotaServiceServicer_to_server, hot)),
            (
                ADMIN_SERVICE,
                partial(
                    admin_pb2_grpc.add_QuotaAdminServiceServicer_to_server,
                    administration(admin_kv, lua),
                ),
            ),
        ],
        ready=door.ping,
    )
    metrics.expose(registry, settings.metrics_listen, certificate=settings.tls_cert)
    near = await _near(server.addresses, border, hot)
    await server.start()
    archivist = Archivist(store, books, trail, days=settings.journal_days, clock=now_ms)
    chores = [asyncio.create_task(chore) for chore in (sweeper.run(), archivist.run())]
    await until_signal(worker=settings.worker)
    for chore in chores:
        chore.cancel()
    hot.leave()
    await asyncio.gather(*(one.stop() for one in near))
    await server.stop()
    await asyncio.gather(*chores, return_exceptions=True)
    await kv.aclose()
    await admin_kv.aclose()


def _access(settings: QuotaSettings, kv: Kv, trail: Trail) -> Access:
    return Access(
        kv,
        admin_key=require_secret("ADMIN_API_KEY", settings.admin_api_key),
        service_token=require_secret("GATEWAY_SERVICE_TOKEN", settings.service_token),
        on_burst=LoginWatch(trail, "quota").burst,
    )


async def _fit(kv: Kv, settings: QuotaSettings) -> None:
    for warning in await require_fit(kv, unsafe=settings.kv_unsafe):
        log.warning("kv", problem=warning)


async def _near(addresses: Sequence[str], border: Border, hot: QuotaService) -> list[LocalServer]:
    """The streams for edges on this machine, beside each unix socket."""
    reserve, settle = (
        f"/{HOT_SERVICE}/StreamReserveQuota",
        f"/{HOT_SERVICE}/StreamSettleReservations",
    )
    methods = {
        reserve: border.around(reserve, hot.reserve_next, pb.StreamReserveQuotaRequest),
        settle: border.around(settle, hot.settle_next, pb.StreamSettleReservationsRequest),
    }
    paths = [a.removeprefix("unix:") for a in addresses if a.startswith("unix:")]
    servers = [LocalServer(f"{path}{SUFFIX}", methods) for path in paths]
    for one in servers:
        await one.start()
    return servers


def administration(kv: Kv, lua: scripts.Scripts) -> QuotaAdminService:
    """The admin RPCs on connections of their own: a long proof must not keep reserves waiting."""
    door = Door(kv, timeout=_ADMIN_MS / 1000)
    books = Books(door)
    return QuotaAdminService(
        door,
        Resets(door, lua, Trail(kv, now_ms)),
        books,
        UsageRecords(door, books),
        Auditor(door, books, lua),
        Idempotency(kv),
        clock=now_ms,
    )


def _open(settings: QuotaSettings, timeout_ms: int) -> Kv:
    return open_kv(
        settings.redis_url,
        timeout_ms=timeout_ms,
        connections=settings.kv_connections,
        cluster=settings.kv_cluster,
    )


if __name__ == "__main__":
    run(main)
