"""uvicorn, held to our rules: every answer in the envelope, header limits, a drain of our own."""

import asyncio
import contextlib
import http
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.common.ids import new_request_id
from services.common.listen import bound
from services.edge.errors import INVALID, SERVER, ApiError

KEEP_ALIVE_SECONDS = 75
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 << 10
MAX_HEAD_BYTES = 32 << 10


class Protocol(HttpToolsProtocol):
    """Refuses what is no HTTP, heads that are too large, and connections above the limit, in JSON;
    closes the connection."""

    max_connections = 10_000
    _head_bytes = 0
    _head_too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(_overloaded())

    def send_400_response(self, msg: str) -> None:
        too_large = self._head_too_large
        self._refuse(_too_large() if too_large else ApiError(400, INVALID, "bad_request", msg))

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        super().on_url(url)
        self._check()

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value)
        self._head_bytes += size
        super().on_header(name, value)
        self._check(too_long=size > MAX_HEADER_BYTES)

    def _check(self, *, too_long: bool = False) -> None:
        if too_long or len(self.headers) > MAX_HEADERS or self._head_bytes > MAX_HEAD_BYTES:
            self._head_too_large = True
            raise _HeadTooLarge  # the parser makes a refusal of it

    def _refuse(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        body = error.body()
        phrase = http.HTTPStatus(error.status).phrase.encode()
        head = (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-request-id: %b\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(
            head % (error.status, phrase, len(body), new_request_id().encode()) + body
        )
        self.transport.close()


class _HeadTooLarge(Exception):
    pass


def _too_large() -> ApiError:
    return ApiError(
        431, INVALID, "request_header_fields_too_large", "The request's headers are too large."
    )


def _overloaded() -> ApiError:
    return ApiError(503, SERVER, "overloaded", "The gateway has too many connections.")


class HttpServer(uvicorn.Server):
    """An HTTP server inside a running loop, without signal handlers: the process has its own."""

    def __init__(
        self, app: Any, *, listen: str, drain_seconds: float, max_connections: int
    ) -> None:
        self._listener = bound(listen)
        host, port = self._listener.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.up = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (Protocol,), {"max_connections": max_connections}),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="error",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(drain_seconds)),
            )
        )

    async def start(self) -> None:
        self._task = asyncio.create_task(self.serve(sockets=[self._listener]))
        up = asyncio.create_task(self.up.wait())
        await asyncio.wait([self._task, up], return_when=asyncio.FIRST_COMPLETED)

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
