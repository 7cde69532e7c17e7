"""The connection to a caller: writes, waits, breaks, and notices when the caller hangs up."""

import asyncio
import contextlib
import socket
import struct
import zlib
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.simulator.faults import Faults
from services.simulator.witness import Record

_LINGER_NOT = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN


class HungUp(Exception):
    """The caller has closed the connection."""


class Ended(Exception):
    """A directive has ended the answer; the text says how."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets an application reach its transport."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class Line:
    """One answer on its way. ``record`` counts what was handed to the socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, record: Record) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self._watcher = asyncio.create_task(self._watch())
        self._gzip: Any = None
        self._split: int | None = None
        self.record = record

    async def __aenter__(self) -> "Line":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watcher.cancel()

    async def start(self, status: int, headers: dict[str, str], faults: Faults) -> None:
        """Send the status line and the headers."""
        self._split = faults.split
        if faults.gzip:
            self._gzip = zlib.compressobj(wbits=31)
            headers = {k: v for k, v in headers.items() if k != "content-length"}
            headers["content-encoding"] = "gzip"
        self._check()
        self.record.status = status
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Send a part of the body now, in writes as small as the directives want."""
        if self._gzip:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        step = self._split or len(data) or 1
        for at in range(0, len(data), step):
            self._check()
            part = data[at : at + step]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self.record.bytes += len(part)
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the body as HTTP wants it."""
        self._check()
        self._watcher.cancel()
        rest = self._gzip.flush() if self._gzip else b""
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def sleep(self, seconds: float) -> None:
        """Wait; raises HungUp as soon as the caller leaves."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), seconds)
        self._check()

    async def hang(self) -> None:
        """Say nothing more until the caller leaves."""
        await self._gone.wait()
        raise HungUp

    async def close(self) -> None:
        """Close the connection after what was written, whatever HTTP still expects."""
        self._scope["state"]["transport"].close()
        await self._gone.wait()

    async def reset(self) -> None:
        """Let the kernel have what was written, then reset the connection."""
        transport = self._scope["state"]["transport"]
        while transport.get_write_buffer_size():
            await self.sleep(0.001)
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
        await self._gone.wait()

    def _check(self) -> None:
        if self._gone.is_set():
            raise HungUp

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
