"""The primary that Sentinel names: asked at each new connection, so a failover is followed."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from services.common.kv_pool import Pool

_SHARED = ("socket_timeout", "socket_connect_timeout", "retry", "protocol", "decode_responses")


class SentinelKv(Redis):
    """``options`` are redis-py's for one connection to the primary; ``sentinel_username`` and
    ``sentinel_password`` among them are for Sentinel itself."""

    def __init__(
        self,
        sentinels: Sequence[tuple[str, int]],
        name: str,
        options: dict[str, Any],
        *,
        connections: int,
        timeout: float,
    ) -> None:
        tls = options.pop("connection_class", None) is SSLConnection
        asked = {key: options[key] for key in _SHARED}
        asked |= {key: value for key, value in options.items() if key.startswith("ssl_")}
        for key in ("username", "password"):
            asked[key] = options.pop(f"sentinel_{key}", None)
        make: Any = Sentinel
        self._sentinel = make(list(sentinels), sentinel_kwargs={**asked, "ssl": tls})
        pool = Pool(
            max_connections=connections,
            timeout=timeout,
            connection_class=SentinelManagedSSLConnection if tls else SentinelManagedConnection,
            connection_pool=_Primary(self._sentinel, name),
            **options,
        )
        super().__init__(connection_pool=pool)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self.connection_pool.aclose()
        await asyncio.gather(*(asked.aclose() for asked in self._sentinel.sentinels))


class _Primary:
    """What redis-py's connections ask for their address."""

    is_master = True
    check_connection = False

    def __init__(self, sentinel: Sentinel, name: str) -> None:
        self._sentinel = sentinel
        self._name = name

    async def get_master_address(self) -> tuple[str, int]:
        host, port = await self._sentinel.discover_master(self._name)
        return host, port
