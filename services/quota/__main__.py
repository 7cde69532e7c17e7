"""The quota service as a process: settings, KV, prices, ledger, sweeper, server."""

import asyncio
import contextlib
import time

from genai_prices.data_snapshot import get_snapshot

from gateway.quota.v1 import quota_pb2_grpc
from services.common import logs, metrics
from services.common.access import Access
from services.common.border import ADMIN, HOT, REFLECTION, Border
from services.common.kv import open_kv, require_fit
from services.common.serve import Server, run, until_signal
from services.common.settings import require_secret
from services.quota import catalog, scripts
from services.quota.books import Books
from services.quota.door import Door
from services.quota.prices import PriceBook
from services.quota.service import QuotaService
from services.quota.settings import QuotaSettings
from services.quota.store import LedgerStore
from services.quota.sweeper import Sweeper

TRUST = {
    "gateway.quota.v1.QuotaService": HOT,
    "gateway.quota.v1.QuotaAdminService": ADMIN,
    "grpc.reflection.v1alpha.ServerReflection": REFLECTION,
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main() -> None:
    settings = QuotaSettings.load()
    logs.configure("quota", settings.log_level, settings.log_format)
    log = logs.logger("quota")
    log.info("settings", **settings.describe())
    prices = PriceBook(catalog.load(settings.catalog), get_snapshot())
    registry = metrics.new_registry()
    kv = open_kv(
        settings.redis_url,
        timeout_ms=settings.kv_timeout_ms,
        connections=settings.kv_connections,
        cluster=settings.kv_cluster,
    )
    access = Access(
        kv,
        admin_key=require_secret("ADMIN_API_KEY", settings.admin_api_key),
        service_token=require_secret("GATEWAY_SERVICE_TOKEN", settings.service_token),
    )
    for warning in await require_fit(kv, unsafe=settings.kv_unsafe):
        log.warning("kv", problem=warning)
    door = Door(kv, timeout=(settings.kv_timeout_ms + 50) / 1000)
    store, books = LedgerStore(door, scripts.load()), Books(door)
    sweeper = Sweeper(store, books, seconds=settings.sweep_seconds, clock=now_ms, registry=registry)
    hot = QuotaService(
        store, prices, min_edges=settings.grace_min_edges, seen=sweeper.see, clock=now_ms
    )
    server = Server(
        listen=settings.listen,
        settings=settings,
        border=Border(access, metrics.RpcMetrics(registry), TRUST),
        services=[
            (
                "gateway.quota.v1.QuotaService",
                lambda s: quota_pb2_grpc.add_QuotaServiceServicer_to_server(hot, s),
            ),
        ],
        ready=door.ping,
    )
    metrics.expose(registry, settings.metrics_listen)
    await server.start()
    sweeping = asyncio.create_task(sweeper.run())
    await until_signal()
    sweeping.cancel()
    await server.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    await kv.aclose()


if __name__ == "__main__":
    run(main)
