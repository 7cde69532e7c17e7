"""The connections to one origin: who may use which, who waits, who is too old."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohappyeyeballs
import httpx

from services.edge.transport.connection import Connection

AddressInfo = tuple[int, int, int, str, Any]
Resolve = Callable[[str, int], Awaitable[list[AddressInfo]]]
"""Host and port to addresses, as ``getaddrinfo`` gives them. May raise OSError."""

_EYEBALLS_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """Per origin. An idle connection must end here before it ends there, or a request meets a
    closed door: self-hosted servers (plain HTTP) often hold 5 s, front doors with TLS a minute."""

    max_connections: int = 4_096
    idle_seconds_plain: float = 4.0
    idle_seconds_tls: float = 30.0


@dataclass(frozen=True, slots=True)
class Origin:
    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str


class Pool:
    """Live connections never exceed ``max_connections``; those who wait are served in order."""

    def __init__(self, origin: Origin, limits: Limits, resolve: Resolve) -> None:
        self._origin = origin
        self._resolve = resolve
        self._loop = asyncio.get_running_loop()
        self._max = limits.max_connections
        self._idle_seconds = limits.idle_seconds_tls if origin.tls else limits.idle_seconds_plain
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._taken = 0
        self._closed = False
        self._empty: asyncio.Future[None] | None = None

    @property
    def taken(self) -> int:
        """Connections that exist or are being made."""
        return self._taken

    def idle(self) -> Connection | None:
        """A connection for one exchange, if there is one that nobody uses."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def acquire(self, *, connect: float | None, wait: float | None) -> Connection:
        """A connection for one exchange. Raises httpx.PoolTimeout, ConnectTimeout, ConnectError."""
        while True:
            if self._closed:
                raise httpx.ConnectError("the transport is closed")
            idle = self.idle()
            if idle is not None:
                return idle
            if self._taken < self._max:
                self._taken += 1
                return await self._open(connect)
            found = await self._wait(wait)
            if found is None:
                return await self._open(connect)
            if found.usable():
                return found
            found.abort()

    async def aclose(self, seconds: float) -> None:
        """Close what is idle, give running exchanges ``seconds``, then close them too."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(httpx.ConnectError("the transport is closed"))
        self._waiters.clear()
        for connection in list(self._idle):
            connection.abort()
        if self._all and seconds > 0:
            self._empty = self._loop.create_future()
            await asyncio.wait([self._empty], timeout=seconds)
        for connection in list(self._all):
            connection.abort()

    async def _wait(self, seconds: float | None) -> Connection | None:
        """A connection that became free, or None: the right to open one (already counted)."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except BaseException as error:
            if not waiter.done() or waiter.cancelled():
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
            elif waiter.exception() is None:
                self._give_back(waiter.result())
            if isinstance(error, TimeoutError):
                raise httpx.PoolTimeout(
                    f"all {self._max} connections to {self._origin.host} are busy"
                ) from None
            raise

    def _give_back(self, found: Connection | None) -> None:
        if found is None:
            self._release_slot()
        elif not found.gone:
            self._free(found)

    async def _open(self, seconds: float | None) -> Connection:
        origin = self._origin
        connection = Connection(self._loop, self._free, self._gone)
        self._all.add(connection)
        try:
            async with asyncio.timeout(seconds):
                found = await self._resolve(origin.host, origin.port)
                sock = await aiohappyeyeballs.start_connection(
                    found, happy_eyeballs_delay=_EYEBALLS_SECONDS, loop=self._loop
                )
                try:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    await self._loop.create_connection(
                        lambda: connection,
                        sock=sock,
                        ssl=origin.tls,
                        server_hostname=origin.server_name if origin.tls else None,
                    )
                except BaseException:
                    sock.close()
                    raise
            if connection.gone:
                raise ConnectionResetError("closed at once")
            return connection
        except TimeoutError:
            connection.abort()
            raise httpx.ConnectTimeout(
                f"no connection to {origin.host}:{origin.port} within {seconds:g} s"
            ) from None
        except (OSError, ssl.SSLError) as error:
            connection.abort()
            raise httpx.ConnectError(f"{origin.host}:{origin.port}: {error}") from error
        except BaseException:
            connection.abort()
            raise

    def _free(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_seconds, self._sweep)

    def _gone(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._release_slot()
        if not self._all and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _release_slot(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken -= 1

    def _sweep(self) -> None:
        self._sweeper = None
        limit = self._loop.time() - self._idle_seconds
        for connection in [c for c in self._idle if c.idle_since <= limit]:
            connection.abort()
        if self._idle:
            oldest = min(c.idle_since for c in self._idle)
            self._sweeper = self._loop.call_at(oldest + self._idle_seconds, self._sweep)
