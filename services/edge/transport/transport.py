"""The transport as httpx knows it."""

import asyncio
import socket
import ssl
from functools import partial

import httpx

from services.edge.transport import wire
from services.edge.transport.exchange import Exchange
from services.edge.transport.pool import AddressInfo, Limits, Origin, Pool, Resolve

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}


async def resolve(host: str, port: int) -> list[AddressInfo]:
    """The system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), int(kind), proto, name, at) for family, kind, proto, name, at in found]


class LeanTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 with keep-alive, one pool per origin.

    Honours ``request.extensions``: ``timeout`` (``connect``, ``read``, ``write``, ``pool`` in
    seconds, None: for ever) and ``sni_hostname``. Faults are httpx.TransportError: ConnectError
    and ConnectTimeout mean that the server has seen nothing of the request.

    A request is repeated on another connection in one case only: a method without effect, on a
    kept connection that ended before the first byte of an answer.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        resolve: Resolve = resolve,
        drain_seconds: float = 0.0,
    ) -> None:
        self._tls = tls or httpx.create_ssl_context(trust_env=False)
        self._tls.set_alpn_protocols(["http/1.1"])
        self._limits = limits or Limits()
        self._resolve = resolve
        self._drain_seconds = drain_seconds
        self._pools: dict[tuple[str, str, int | None, str], Pool] = {}

    async def post(self, pool: Pool, head: bytes, body: bytes, *, connect: float) -> Exchange:
        """The answer to a POST with such a head (of ``wire``); ``connect`` bounds the waits for a
        connection. What httpx's own request and response would add costs as much as the rest of the
        way."""
        connection = pool.idle() or await pool.acquire(connect=connect, wait=connect)
        exchange = connection.start(bodyless=False, read=None, write=None)
        try:
            connection.write(head, body)
            await exchange.head
        except BaseException:
            exchange.give_up()
            raise
        if exchange.error is not None and not exchange.status:
            raise exchange.error
        return exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pool = self.pool(request.url, request.extensions.get("sni_hostname"))
        timeouts = request.extensions.get("timeout") or {}
        method = request.method
        head = wire.head(method, request.url.raw_path, request.headers.raw)
        body = wire.body(request)
        while True:
            connection = await pool.acquire(
                connect=timeouts.get("connect"), wait=timeouts.get("pool")
            )
            kept = connection.uses > 0
            exchange = connection.start(
                bodyless=method == "HEAD",
                read=timeouts.get("read"),
                write=timeouts.get("write"),
            )
            try:
                if body is None:
                    connection.write(head)
                    send = partial(wire.send_stream, request, connection.write, connection.drain)
                    connection.pump(send)
                elif body:
                    connection.write(head, body)
                else:
                    connection.write(head)
                await exchange.head
            except BaseException:
                exchange.give_up()
                raise
            error = exchange.error
            if error is None or exchange.status:
                return httpx.Response(
                    exchange.status,
                    headers=exchange.headers,
                    stream=exchange,
                    extensions={"http_version": b"HTTP/1.1"},
                )
            lost = not exchange.touched and not isinstance(error, httpx.TimeoutException)
            if not (kept and lost and body is not None and method in _REPEATABLE):
                raise error

    async def aclose(self) -> None:
        """Idle connections end now, busy ones when their exchange does, within
        ``drain_seconds``."""
        pools, self._pools = list(self._pools.values()), {}
        await asyncio.gather(*(pool.aclose(self._drain_seconds) for pool in pools))

    def pool(self, url: httpx.URL, server_name: str | None = None) -> Pool:
        """The connections to a URL's origin."""
        host = url.raw_host.decode("ascii")
        name = server_name or host
        key = (url.scheme, host, url.port, name)
        pool = self._pools.get(key)
        if pool is None:
            if url.scheme not in _PORTS:
                raise httpx.UnsupportedProtocol(f"{url.scheme or 'no scheme'}: not http(s)")
            tls = self._tls if url.scheme == "https" else None
            origin = Origin(host, url.port or _PORTS[url.scheme], tls, name)
            pool = self._pools[key] = Pool(origin, self._limits, self._resolve)
        return pool
