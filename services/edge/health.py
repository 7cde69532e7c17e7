"""GET /healthz: the process lives. GET /readyz: it can admit requests."""

import asyncio
from typing import Any

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.types import Receive, Scope, Send

from services.edge.exchange import Exchange

CHECK_SECONDS = 0.5


class Readiness:
    """Ready while auth and quota say that they serve, and until draining begins."""

    def __init__(self, channels: dict[str, grpc.aio.Channel]) -> None:
        self._stubs: dict[str, Any] = {
            name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()
        }
        self.draining = False

    async def failing(self) -> list[str]:
        """What is not ready; nothing when all is well."""
        if self.draining:
            return ["draining"]
        names = list(self._stubs)
        serving = await asyncio.gather(*(self._serving(name) for name in names))
        return [name for name, good in zip(names, serving, strict=True) if not good]

    async def _serving(self, name: str) -> bool:
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            answer = await self._stubs[name].Check(request, timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Healthz:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        exchange.require_method("GET", "HEAD")
        await exchange.answer(b'{"status":"ok"}')


class Readyz:
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        exchange.require_method("GET", "HEAD")
        failing = await self._readiness.failing()
        body = {"status": "ready"} if not failing else {"status": "not ready", "failing": failing}
        await exchange.answer(orjson.dumps(body), status=503 if failing else 200)
