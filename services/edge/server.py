"""uvicorn inside a running loop: held to our limits, with a drain of our own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import uvicorn

from services.common.listen import bound
from services.edge.limits import LimitedProtocol, Limits

KEEP_ALIVE_SECONDS = 75
"""Longer than clients and load balancers keep idle connections, so that they end them."""

_LAST = (b"connection", b"close")


class HttpServer(uvicorn.Server):
    """An HTTP server inside a running loop, without signal handlers: the process has its own."""

    def __init__(
        self,
        app: Any,
        *,
        listen: str,
        drain_seconds: float,
        max_connections: int,
        shared: bool = False,
        limits: Limits | None = None,
        keep_alive: int = KEEP_ALIVE_SECONDS,
    ) -> None:
        limits = replace(limits or Limits(), connections=max_connections)
        self._listener = bound(listen, shared=shared)
        host, port = self._listener.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.up = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (LimitedProtocol,), {"limits": limits}),
                interface="asgi3",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="error",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=keep_alive,
                timeout_graceful_shutdown=max(1, round(drain_seconds)),
            )
        )

    async def start(self) -> None:
        self._task = asyncio.create_task(self.serve(sockets=[self._listener]))
        up = asyncio.create_task(self.up.wait())
        await asyncio.wait([self._task, up], return_when=asyncio.FIRST_COMPLETED)

    def leave(self) -> None:
        """From now on each answer ends its connection: a client that keeps one must not write into
        it at the moment in which it is closed."""
        self.config.encoded_headers.append(_LAST)
        self.server_state.default_headers.append(_LAST)

    async def stop(self) -> None:
        """Take no more connections, let running answers end within the drain time."""
        self.should_exit = True
        await self._task
        self._listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
