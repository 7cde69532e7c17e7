"""``python -m tests.bench.mock PORT [CERT KEY]``: a provider as cheap as Python can be.

What it answers depends on the model named in the request; see ``tests.bench.traffic``.
"""

import asyncio
import gc
import ssl
import sys
import time
from typing import cast

import uvloop

from tests.bench import traffic

_KINDS = [(kind, b'%b"' % kind.encode()) for kind in traffic.KINDS]
_BURST, _LAST = traffic.event(0), traffic.event(0, last=True)
_PACES = {traffic.PACED: traffic.PACE_SECONDS, traffic.SLOW: traffic.SLOW_PACE_SECONDS}


class Mock(asyncio.Protocol):
    """One connection. Requests are small and come one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            head = data[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(data) >= end + 4 + length:
                self._held = b""
                self._answer(data[end + 4 :])
                return
        self._held = data

    def _answer(self, body: bytes) -> None:
        kind = next((kind for kind, name in _KINDS if name in body), traffic.JSON)
        if kind == traffic.JSON:
            self._transport.write(traffic.JSON_RESPONSE)
        elif kind == traffic.LATE:
            self._loop.call_later(traffic.LATENCY_SECONDS, self._late)
        else:
            self._transport.write(traffic.SSE_HEAD)
            self._stream(kind, traffic.CHUNKS)

    def _late(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(traffic.JSON_RESPONSE)

    def _stream(self, kind: str, left: int) -> None:
        """One write per chunk and turn of the loop: each goes out by itself."""
        if self._transport.is_closing():
            return
        left -= 1
        if kind in _PACES:
            self._transport.write(traffic.event(time.monotonic_ns(), last=left == 0))
        else:
            self._transport.write(_BURST if left else _LAST)
        if left == 0:
            return
        if kind in _PACES:
            self._loop.call_later(_PACES[kind], self._stream, kind, left)
        else:
            self._loop.call_soon(self._stream, kind, left)


async def serve(port: int, *certificate: str) -> None:
    loop = asyncio.get_running_loop()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = await loop.create_server(lambda: Mock(loop), "127.0.0.1", port, backlog=4_096, ssl=tls)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    gc.freeze()
    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:]))
