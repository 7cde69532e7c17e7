"""How this process is."""

import time
from typing import Any

from gateway.auth.v1 import admin_pb2
from services.auth.admin.desk import Desk


class Status(Desk):
    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: Any
    ) -> admin_pb2.ServiceStatus:
        began = time.perf_counter()
        await self.store.ping()
        return admin_pb2.ServiceStatus(
            uptime_seconds=int(time.monotonic() - self.started),
            kv_latency_micros=int((time.perf_counter() - began) * 1_000_000),
        )
