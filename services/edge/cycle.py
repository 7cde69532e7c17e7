"""One request and its answer on a connection: ASGI's ``receive`` and ``send``, as uvicorn has them
but for the price: the head of an answer is checked as a whole and leaves with the body."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CYCLE = "gateway.cycle"
"""Where a scope has its Cycle."""

Header = tuple[bytes, bytes]

_CONTROLS = bytes(c for c in (*range(32), 127) if c not in b"\t\r\n")
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


class Cycle(RequestResponseCycle):
    """``always`` are the headers of every answer, as they are when it begins; ``done`` is called
    when it is complete."""

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        loop: asyncio.AbstractEventLoop,
        *,
        always: Sequence[tuple[bytes, bytes]],
        expects: bool,
        keep_alive: bool,
        done: Any,
        logger: Any,
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.loop = loop
        self.logger = logger
        self.message_event = asyncio.Event()
        self.on_response = done
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._always = always
        self.status = 0
        self._plain_chunks = False
        self._head = b""

    def at_hand(self) -> bytes | None:
        """The body, if all of it is there and nobody has received any of it."""
        if self.more_body or self.disconnected:
            return None
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"{kind} after the answer was complete")
        if kind != ("http.response.body" if self.response_started else "http.response.start"):
            raise RuntimeError(f"{kind} out of its order")
        if self.response_started:
            self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self.begin(message["status"], message.get("headers", ()))

    @property
    def fresh(self) -> bool:
        """Whether an answer can begin, and not wait."""
        return not (self.response_started or self.flow.write_paused or self.disconnected)

    @property
    def flows(self) -> bool:
        """Whether more of the body can be written without waiting."""
        return (
            self.response_started
            and not self.response_complete
            and not self.flow.write_paused
            and not self.disconnected
        )

    def write(self, body: bytes) -> None:
        """More of the body, some bytes, while it flows."""
        if self._plain_chunks and not self._head:
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        else:
            self._body(body, more=True)

    def end(self, body: bytes) -> None:
        """The last of the body, while it flows."""
        self._body(body, more=False)

    def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """A whole answer, while it is ``fresh``."""
        self._begin(status, headers)
        self._body(body, more=False)

    def begin(self, status: int, headers: Iterable[Header]) -> None:
        """The head of an answer, while it is ``fresh``."""
        self._begin(status, headers)
        self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send the head, if it still waits for a body."""
        if self._head:
            head, self._head = self._head, b""
            if not self.transport.is_closing():
                self.transport.write(head)

    def _begin(self, status: int, headers: Iterable[Header]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        self.status = status
        lines = [STATUS_LINE[status]]
        for given, value in (*self._always, *headers):
            name = given.lower()
            lines.append(b"%b: %b\r\n" % (name, value))
            if name in _FRAMING:
                self._frame(name, value)
        text = b"".join(lines)
        breaks = len(lines)
        clean = len(text.translate(None, _CONTROLS)) == len(text)
        if not clean or text.count(b"\r") != breaks or text.count(b"\n") != breaks:
            raise RuntimeError("a header would break out of its line")
        if not self.keep_alive and b"\r\nconnection: close\r\n" not in text:
            text += b"connection: close\r\n"
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        if self.chunked_encoding is None and not bodiless:
            self.chunked_encoding = True
            text += b"transfer-encoding: chunked\r\n"
        self._plain_chunks = bool(self.chunked_encoding) and not bodiless
        self._head = text + b"\r\n"

    def _frame(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == b"connection" and b"close" in value.lower():
            self.keep_alive = False

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = b""
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length")
            data = body
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self.transport.write(data)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.scope.pop(CYCLE, None)  # type: ignore[misc]  # no circle for the collector
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
