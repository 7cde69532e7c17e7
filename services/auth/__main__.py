"""``python -m services.auth``: the auth service."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from gateway.auth.v1 import admin_pb2_grpc, auth_pb2_grpc
from services.auth.admin import AuthAdmin
from services.auth.service import AuthService
from services.auth.settings import AuthSettings
from services.auth.store import Store
from services.auth.vault import Vault
from services.common import logs
from services.common.access import Access
from services.common.border import ADMIN, HOT, REFLECTION, Border
from services.common.idempotency import Idempotency
from services.common.kv import Kv, open_kv, require_fit
from services.common.logins import LoginWatch
from services.common.metrics import RpcMetrics, expose, new_registry
from services.common.process import run, until_signal
from services.common.serve import Server
from services.common.settings import require_secret
from services.common.workers import supervise

AUTH = "gateway.auth.v1.AuthService"
AUTH_ADMIN = "gateway.auth.v1.AuthAdminService"
TRUST = {AUTH: HOT, AUTH_ADMIN: ADMIN, "grpc.reflection.v1alpha.ServerReflection": REFLECTION}

log = logs.logger("auth")


def join(
    settings: AuthSettings,
    kv: Kv,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.time,
) -> Server:
    """The service's parts put together, not yet started. Raises SettingsError."""
    store = Store(kv, clock)
    vault = Vault(settings.master_key.get_secret_value())
    access = Access(
        kv,
        admin_key=require_secret("ADMIN_API_KEY", settings.admin_api_key),
        service_token=require_secret("GATEWAY_SERVICE_TOKEN", settings.service_token),
        on_burst=LoginWatch(store.trail, "auth").burst,
    )
    hot = AuthService(store, vault)
    admin = AuthAdmin(store, vault, Idempotency(kv))
    return Server(
        listen=settings.listen,
        settings=settings,
        border=Border(access, RpcMetrics(registry), TRUST),
        services=[
            (AUTH, lambda server: auth_pb2_grpc.add_AuthServiceServicer_to_server(hot, server)),
            (
                AUTH_ADMIN,
                lambda server: admin_pb2_grpc.add_AuthAdminServiceServicer_to_server(admin, server),
            ),
        ],
        ready=store.ping,
    )


async def main() -> int:
    settings = AuthSettings.load()
    logs.configure("auth", settings.log_level, settings.log_format, settings.worker)
    log.info("settings", **settings.describe())
    if settings.workers > 1 and not settings.worker:
        return await supervise(
            "auth",
            settings.workers,
            shared={
                "GATEWAY_AUTH_LISTEN": settings.listen,
                "GATEWAY_HEALTH_LISTEN": settings.health_listen,
            },
            own={"GATEWAY_AUTH_METRICS_LISTEN": settings.metrics_listen},
            stop_seconds=settings.drain_seconds,
        )
    await serve(settings)
    return 0


async def serve(settings: AuthSettings) -> None:
    """The service in this process, until a signal."""
    registry = new_registry()
    kv = open_kv(
        settings.redis_url,
        timeout_ms=settings.kv_timeout_ms,
        connections=settings.kv_connections,
        cluster=settings.kv_cluster,
    )
    server = join(settings, kv, registry)
    for warning in await require_fit(kv, unsafe=settings.kv_unsafe):
        log.warning("kv", problem=warning)
    expose(registry, settings.metrics_listen, certificate=settings.tls_cert)
    await server.start()
    await until_signal(worker=settings.worker)
    await server.stop()
    await kv.aclose()


if __name__ == "__main__":
    run(main)
