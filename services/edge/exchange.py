"""One HTTP exchange, at the level of ASGI: read a body within limits, answer, see who left."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from services.edge import errors
from services.edge.cycle import CYCLE, Cycle, Header
from services.edge.departure import DEPARTURE, Departure
from services.edge.errors import ApiError, invalid
from services.edge.heads import HEAD, Head

BODY_STALL_SECONDS = 30.0
_LINGER_SECONDS = 2.0
_IDENTITY = (b"", b"identity")

JSON = b"application/json"


class Exchange:
    """A request and its answer. ``facts`` become the request's line in the log, ``trace`` are
    the headers that carry its span on."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._first: dict[bytes, bytes] = dict(reversed(self.headers))
        self.cycle: Cycle | None = scope.get(CYCLE)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.request_id: str = scope["state"]["request_id"]
        self.facts: dict[str, Any] = scope["state"]["facts"]
        self.trace: Sequence[tuple[bytes, bytes]] = scope["state"].get("trace", ())
        client = scope.get("client")
        self.peer: str = client[0] if client else "unknown"
        self.began = time.perf_counter()
        self.gone = False
        self._receive = receive
        self._send = send
        self.head: Head | None = scope.get(HEAD)
        self._departure: Departure | None = scope.get(DEPARTURE)
        self._on_gone: Callable[[], None] = _nothing
        self._watch: asyncio.Task[None] | None = None

    def header(self, name: bytes) -> bytes:
        """The first value of a header, by its lower-case name; empty where there is none."""
        return self._first.get(name, b"")

    def require_method(self, *allowed: str) -> None:
        """Raises ApiError 405."""
        if self.method not in allowed:
            raise not_allowed(self.method, self.path, ", ".join(allowed))

    def body_as(self, media_type: bytes, most: int) -> Awaitable[bytes]:
        """The body, at most ``most`` bytes of ``media_type``. Raises ApiError 408, 413, 415."""
        kind = self.header(b"content-type")
        if kind != media_type and kind.split(b";")[0].strip().lower() != media_type:
            raise invalid(
                f"Send the request with the header 'content-type: {media_type.decode()}'.",
                code="unsupported_content_type",
                status=415,
            )
        coding = self.header(b"content-encoding")
        if coding and coding.strip().lower() not in _IDENTITY:
            raise invalid(
                "Compressed requests are not accepted.",
                code="unsupported_content_encoding",
                status=415,
            )
        return self.body(most)

    async def body(self, most: int) -> bytes:
        """The body, at most ``most`` bytes. Raises ApiError 408, 413."""
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > most:
            if self.header(b"expect").lower() != b"100-continue":
                await self._linger()
            raise _too_large(most)
        whole = self.cycle.at_hand() if self.cycle else None
        if whole is not None and len(whole) <= most:
            return whole
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._next()
            piece = message.get("body", b"")
            size += len(piece)
            if size > most:
                pieces.clear()
                await self._linger()
                raise _too_large(most)
            if not message.get("more_body"):
                return piece if not pieces else b"".join([*pieces, piece])
            pieces.append(piece)

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(BODY_STALL_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(
                408,
                errors.INVALID,
                "request_timeout",
                "The request body did not arrive in time.",
                headers={"connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            self.gone = True
            raise ClientGone
        return message

    async def _linger(self) -> None:
        """Let the client finish writing, so that it reads our answer and not a reset."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                more = True
                while more:
                    message = await self._receive()
                    more = bool(message.get("more_body"))

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call ``on_gone`` when the client hangs up. To be used after the body was read."""
        self._on_gone = on_gone
        if self.gone:
            on_gone()
        elif self._departure is not None:
            self._departure.tell(self._left)
        elif self._watch is None:
            self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        """Under a server that is not ours."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        self.gone = True
        self._on_gone()

    def close(self) -> None:
        """Stop watching."""
        self._on_gone = _nothing
        if self._departure is not None:
            self._departure.forget(self._left)
        if self._watch is not None:
            self._watch.cancel()

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        told = [*headers, (b"x-request-id", self.request_id.encode())]
        if self.cycle is not None and self.cycle.fresh:
            self.cycle.begin(status, told)
        else:
            await self._send({"type": "http.response.start", "status": status, "headers": told})

    async def write(self, data: bytes) -> None:
        """More of the body. A client that keeps up is written to past ASGI, by ``cycle``."""
        if self.cycle is not None and self.cycle.flows and data:
            self.cycle.write(data)
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def ended(self, data: bytes) -> bool:
        """Write the last of the body, if that needs no waiting; whether it did not."""
        if self.cycle is None or not self.cycle.flows:
            return False
        self.cycle.end(data)
        return True

    async def end(self, data: bytes = b"") -> None:
        if not self.ended(data):
            await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: bytes = JSON,
        headers: Iterable[Header] = (),
    ) -> None:
        """A whole answer."""
        length = b"%d" % len(body)
        told = [(b"content-type", content_type), (b"content-length", length), *headers]
        if self.cycle is not None and self.cycle.fresh:
            told.append((b"x-request-id", self.request_id.encode()))
            self.cycle.answer(status, told, body)
        else:
            await self.start(status, told)
            await self.end(body)


def _nothing() -> None: ...


class ClientGone(Exception):
    """Nobody is there any more to answer. ``sent`` is false when no provider was asked."""

    def __init__(self, *, sent: bool = True) -> None:
        super().__init__("the client has left")
        self.sent = sent


def not_allowed(method: str, path: str, allowed: str) -> ApiError:
    return ApiError(
        405,
        errors.INVALID,
        "method_not_supported",
        f"Not allowed to {method} on {path[:256]} (HINT: Perhaps you meant to use a different "
        "HTTP method?)",
        headers={"allow": allowed},
    )


def unknown_url(method: str, path: str) -> ApiError:
    if path.startswith("/v1/"):
        return invalid(f"Invalid URL ({method} {path[:256]})", status=404)
    return invalid(
        f"Unknown request URL: {method} {path[:256]}. Please check the URL for typos.",
        code="unknown_url",
        status=404,
    )


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        errors.INVALID,
        "request_too_large",
        f"The request body is larger than {most} bytes.",
        headers={"connection": "close"},
    )
