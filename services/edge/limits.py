"""What a connection may do to the server: how much, how many, how long. uvicorn's HTTP protocol,
held to it; every refusal is in the envelope and closes the connection."""

import asyncio
import enum
import http
import re
from dataclasses import dataclass

import httptools

from services.common.ids import new_request_id
from services.edge import errors
from services.edge.connection import Connection
from services.edge.departure import DEPARTURE, Departure
from services.edge.errors import INVALID, ApiError

_NO_HTTP = "This is not a valid HTTP request."
_FRAMING = (b"content-length", b"transfer-encoding")
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. ``reader_seconds`` is for a client that takes nothing of
    what was written to it."""

    connections: int = 10_000
    headers: int = 100
    header_bytes: int = 16 << 10
    head_bytes: int = 32 << 10
    head_seconds: float = 10.0
    body_seconds: float = 300.0
    reader_seconds: float = 120.0


class _At(enum.Enum):
    """What is expected next."""

    REQUEST = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


_REQUEST, _HEAD, _BODY = _At


class LimitedProtocol(Connection):
    """One connection."""

    limits = Limits()
    _at = _REQUEST
    _head_bytes = 0
    _unparsed = 0
    _replaying = False
    _refusal: ApiError | None = None
    _deadline: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    # --- The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._departure = Departure(self.flow.resume_reading)
        if len(self.connections) > self.limits.connections:
            self._refuse(errors.overloaded())
        else:
            self._expect_within(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expected()
        self._unset_keepalive_if_required()
        self.resume_writing()
        super().connection_lost(exc)
        self._departure.happened()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._left or self._at is _REQUEST:
            data = self._repeated(data)
            if self._left:
                self._expect_within(self.limits.body_seconds)
            if not data:
                return
        self._unparsed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or ApiError(400, INVALID, "bad_request", _NO_HTTP))
        if self.transport.is_closing():
            return
        if self._at is _REQUEST:
            self._unparsed = 0
            if self.cycle is None or self.cycle.response_complete:
                self._expect_within(self.limits.head_seconds)
        elif self._unparsed > 2 * self.limits.head_bytes:
            # a header, a trailer or a chunk's extension without an end
            self._refuse(errors.head_too_large())
        elif self._at is _HEAD:
            self._expect_within(self.limits.head_seconds)
        else:
            self._expect_within(self.limits.body_seconds)

    def _feed(self, data: bytes) -> None:
        """An offer to upgrade is declined by going on: the parser has stopped behind the head, so
        that a new one is told how the body is framed, and reads it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            framing = [b"%b: %b\r\n" % (n, v) for n, v in self.headers if n in _FRAMING]
            self.parser = httptools.HttpRequestParser(self)
            self._replaying = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
            self._replaying = False
            self._feed(data[stopped.args[0] :])

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.limits.reader_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        super().resume_writing()

    # --- The parser's events

    def on_message_begin(self) -> None:
        if self._replaying:
            return
        self._at = _HEAD
        self._head_bytes = 0
        super().on_message_begin()
        self.scope[DEPARTURE] = self._departure  # type: ignore[literal-required]

    def on_url(self, url: bytes) -> None:
        if self._replaying:
            return
        self.url += url
        self._head_bytes += len(url)
        if self._head_bytes > self.limits.head_bytes:
            self._stop(errors.head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._replaying:
            return
        size, headers, most = len(name) + len(value), self.headers, self.limits
        self._head_bytes += size
        if self._at is _HEAD:  # trailers are only counted
            headers.append((name.lower(), value))
        too_many = len(headers) > most.headers
        if too_many or size > most.header_bytes or self._head_bytes > most.head_bytes:
            self._stop(errors.head_too_large())

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        hosts = [value for name, value in self.headers if name == b"host"]
        valid = len(hosts) == 1 and _HOST.fullmatch(hosts[0])
        if not valid and (hosts or self.parser.get_http_version() != "1.0"):
            self._stop(ApiError(400, INVALID, "bad_request", "Send one valid Host header."))
        self._begun()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # says the parser, which leaves what follows to another protocol
        self._whole()

    def _begun(self) -> None:
        self._at = _BODY
        self._unparsed = 0
        self._expected()

    def _whole(self) -> None:
        self._at = _REQUEST
        self._expected()
        super()._whole()

    def timeout_keep_alive_handler(self) -> None:
        if self._at is _REQUEST:
            super().timeout_keep_alive_handler()
        else:  # whoever is in the middle of a request is not idle
            self._idle_for(self.timeout_keep_alive)

    # --- Refusals

    def _stop(self, refusal: ApiError) -> None:
        self._refusal = refusal
        raise _Stop  # the parser ends, and the refusal is sent

    def _expect_within(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _expected(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._at is _REQUEST:
            self.transport.close()
        elif self._at is _BODY and self.cycle.response_started:
            self.transport.abort()
        else:
            self._refuse(errors.too_slow())

    def _refuse(self, error: ApiError) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self.cycle.response_started:
            self.transport.abort()  # no second answer into the first one
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


class _Stop(Exception):
    pass
