"""One connection to an origin: bytes to answers, one exchange at a time."""

import asyncio
import select
from collections.abc import Callable
from typing import Any, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from services.edge.transport.exchange import Exchange
from services.edge.transport.outbound import Outbound
from services.edge.transport.wire import ends_with_connection

MAX_HEADERS = 256
MAX_HEAD_BYTES = 65_536
"""Also the most that may arrive in a row without a byte of body: trailers, chunk extensions."""

_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL
_NEVER = float("inf")


class Connection(Outbound):
    """``on_free`` is called when it may carry another exchange, ``on_gone`` exactly once, when it
    may not any more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[["Connection"], None],
        on_gone: Callable[["Connection"], None],
    ) -> None:
        super().__init__(loop)
        self.uses = 0
        self.idle_since = 0.0
        self._on_free = on_free
        self._on_gone = on_gone
        self._parser: Any = HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._headers: list[tuple[bytes, bytes]] = []

    # Events of the loop ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.gone:
            self._transport.abort()
            return
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), _READABLE)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()  # Nobody asked: the next answer could not be trusted.
            return
        exchange.touched = True
        self._progress = self._loop.time()
        self._quiet += len(data)
        error = ""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as problem:
            error = str(problem.__context__ or problem) or "malformed"
        if self._pieces:
            exchange.feed(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))
            self._pieces.clear()
        if self._complete:
            self._end(exchange, reusable=self._keep and not error)
        elif error or self._quiet > MAX_HEAD_BYTES:
            self._fail(httpx.RemoteProtocolError(f"bad answer: {error or 'head too large'}"))

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()
        elif exc is not None:
            self._fail(httpx.ReadError(f"the connection broke: {exc}"))
        elif self._until_close:
            self._end(exchange, reusable=False)
        else:
            told = "within the body" if self._headed else "without an answer"
            self._fail(httpx.RemoteProtocolError(f"the server closed the connection {told}"))

    # Events of the parser ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise HttpParserError("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES or len(self._headers) >= MAX_HEADERS:
            raise HttpParserError("too many headers, or too large")
        if not self._headed:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise HttpParserError("a change of protocol nobody asked for")
            self._headers = []
            self._interim = True
            return
        self._quiet = 0
        self._headed = True
        if not self._parser.should_keep_alive():
            self._until_close = ends_with_connection(status, self._headers)
        cast(Exchange, self._exchange).respond(status, self._headers)
        self._complete = self._bodyless

    def on_body(self, data: bytes) -> None:
        self._quiet = 0
        if not self._bodyless:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive() and not self._bodyless

    # Called by the pool and the transport ------------------------------------------------------

    def usable(self) -> bool:
        """Whether an idle connection is open and silent. Bytes or an end that nobody has read yet
        rule it out before anything is written to it."""
        return not self.gone and not self._poll.poll(0)

    def start(self, *, bodyless: bool, read: float | None, write: float | None) -> Exchange:
        """Begin an exchange; ``bodyless`` as for HEAD. Timeouts in seconds, between two signs of
        progress."""
        self.uses += 1
        self._bodyless = bodyless
        self._headers = []
        self._pieces: list[bytes] = []
        self._quiet = self._head_bytes = 0
        self._headed = self._interim = self._complete = self._keep = self._until_close = False
        self._read = _NEVER if read is None else read
        self._write = _NEVER if write is None else write
        self._progress = self._loop.time()
        self._exchange = Exchange(self._loop, self._throttle, self.abort)
        bound = min(self._read, self._write)
        if bound < _NEVER:
            self._arm(self._progress + bound)
        return self._exchange

    def abort(self) -> None:
        """Close at once, whatever is going on."""
        self._fail(httpx.ReadError("the connection was closed"))

    # Inside ------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(error)
        if self.gone:
            return
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
        if self._pump is not None:
            self._pump.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._on_gone(self)

    def _end(self, exchange: Exchange, *, reusable: bool) -> None:
        transport = cast(asyncio.Transport, self._transport)
        throttled = exchange.throttled
        self._exchange = None
        exchange.finish()
        if not reusable or self.pumping or transport.get_write_buffer_size() > 0:
            self.abort()
            return
        if throttled:
            transport.resume_reading()
        self.idle_since = self._loop.time()
        self._on_free(self)

    def _throttle(self, slow: bool) -> None:
        transport = cast(asyncio.Transport, self._transport)
        if slow:
            transport.pause_reading()
        else:
            self._progress = self._loop.time()
            transport.resume_reading()

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._check) if when < _NEVER else None

    def _check(self) -> None:
        """Time may be up. One timer per connection, moved lazily: none is made per chunk."""
        self._timer = None
        exchange = self._exchange
        if exchange is None:
            return
        now = self._loop.time()
        limit = self._write if self._clogged else self._read
        unsent = cast(asyncio.Transport, self._transport).get_write_buffer_size()
        waiting = self.pumping and not self._clogged
        if waiting or exchange.throttled or (self._clogged and unsent < self._unsent):
            self._progress = now
        self._unsent = unsent
        due = self._progress + limit
        if now < due:
            self._arm(min(due, now + min(self._read, self._write)))
        elif self._clogged:
            self._fail(httpx.WriteTimeout(f"the server took no bytes for {limit:g} s"))
        else:
            self._fail(httpx.ReadTimeout(f"the server sent nothing for {limit:g} s"))
