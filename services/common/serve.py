"""The life of a gRPC process: start, ready, run, drain."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.border import Border
from services.common.channel import SERVER_OPTIONS, SHARED_OPTIONS, is_local
from services.common.errors import GatewayError
from services.common.logs import logger
from services.common.settings import ServiceSettings, SettingsError
from services.common.tls import Identity, server_credentials

log = logger("serve")

Ready = Callable[[], Awaitable[object]]

LIVE = "live"
"""A health name that is SERVING while the process runs, whatever the KV does: a restart would not
bring the KV back."""

_PROBE_SECONDS = 1.0
_AWAY_SECONDS = 2.0
"""For so long callers are told that the KV is away; then that there is no use in calling, so that
they find another replica if there is one that does reach it."""
_NOTICE_SECONDS = 0.3


class Server:
    """A gRPC server with health and reflection. ``ready`` is asked every second: while it raises
    a GatewayError, every service is NOT_SERVING. ``health_listen`` tells health and nothing else,
    without TLS: Kubernetes' own probes cannot present a certificate."""

    def __init__(
        self,
        *,
        listen: str,
        settings: ServiceSettings,
        border: Border,
        services: Sequence[tuple[str, Callable[[grpc.aio.Server], None]]],
        ready: Ready,
    ) -> None:
        self._settings = settings
        self._ready = ready
        self._names = [name for name, _ in services]
        self._health = health.aio.HealthServicer()
        options = SHARED_OPTIONS if settings.worker else SERVER_OPTIONS
        self._server = grpc.aio.server(interceptors=[border], options=options)
        for _, add in services:
            add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            names = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)
        self._credentials = _credentials(settings)
        self.addresses = [self._bind(address.strip()) for address in listen.split(",")]
        self._health_only: grpc.aio.Server | None = None
        if settings.health_listen:
            self._health_only = grpc.aio.server(options=options)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_only)
            self.health_address = _open(settings.health_listen, self._health_only.add_insecure_port)

    def _bind(self, address: str) -> str:
        tls = self._credentials
        if tls is not None and not address.startswith("unix:"):
            return _open(address, lambda at: self._server.add_secure_port(at, tls))
        if not is_local(address):
            raise SettingsError(
                f"{address} is reachable from other machines: set GATEWAY_TLS_CERT, "
                "GATEWAY_TLS_KEY and GATEWAY_TLS_CA (see `make certs`), or listen on 127.0.0.1"
            )
        return _open(address, self._server.add_insecure_port)

    async def start(self) -> None:
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()
        if self._health_only:
            await self._health_only.start()
        self._probe = asyncio.create_task(self._watch())
        log.info("listening", addresses=self.addresses)

    async def stop(self) -> None:
        """Say NOT_SERVING, give clients a moment to notice, let running calls finish."""
        self._probe.cancel()
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(_NOTICE_SECONDS)
        await self._server.stop(self._settings.drain_seconds)
        if self._health_only:
            await self._health_only.stop(None)
        log.info("stopped")

    async def _watch(self) -> None:
        serving: bool | None = None
        there = -math.inf
        while True:
            try:
                await self._ready()
                now, cause, there = True, "", time.monotonic()
            except GatewayError as error:
                now, cause = False, f"{error} ({error.__cause__})"
            if now is not serving and (now or time.monotonic() - there >= _AWAY_SECONDS):
                status = health_pb2.HealthCheckResponse
                await self._set(status.SERVING if now else status.NOT_SERVING)
                log.info("ready" if now else "not_ready", cause=cause)
                serving = now
            await asyncio.sleep(_PROBE_SECONDS if now else _PROBE_SECONDS / 5)

    async def _set(self, status: Any) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """From all three files, or from none."""
    tls = (settings.tls_cert, settings.tls_key, settings.tls_ca)
    if any(tls) and not all(tls):
        raise SettingsError("set GATEWAY_TLS_CERT, GATEWAY_TLS_KEY and GATEWAY_TLS_CA, or none")
    return server_credentials(Identity(*tls)) if all(tls) else None


def _open(address: str, add_port: Callable[[str], int]) -> str:
    """Listen on one address; answers with the address really bound (port 0 picks one)."""
    try:
        port = add_port(address)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on {address}: is the port busy?") from error
    host = address.rpartition(":")[0]
    return address if address.startswith("unix:") else f"{host}:{port}"
