"""Streams of a gRPC service over a unix socket, without HTTP/2: the same messages, the same border,
a third of the way. For neighbours on one machine; whoever finds no such socket speaks gRPC.

A connection is one stream. Frames are a length (4 bytes), a kind (1 byte) and a content. The caller
begins with a HELLO, its method and its credential with a line break between; then each ASK, a
request, is answered by one ANSWER, or by one FAILED, a google.rpc.Status, after which the server
hangs up.
"""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import grpc

from services.common.logs import logger

log = logger("local")

HELLO, ASK, ANSWER, FAILED = range(4)
SUFFIX = ".line"
"""A service that listens on ``unix:path`` has this one at ``path.line``."""

DETAILS = "grpc-status-details-bin"
_HEAD = struct.Struct("<IB")
_LARGEST = 1 << 20
"""As for a gRPC message (``SERVER_OPTIONS``)."""

_MOST_WAITING = 16
_LIFE_SECONDS = 60.0


class Handler(Protocol):
    """A gRPC servicer's stream-stream method by bytes, its border included."""

    async def admit(self, context: Any) -> bool:
        """Whether the caller may ask; else it has been told why not."""

    async def answer(self, request: bytes, context: Any) -> bytes | None:
        """None where the caller has been told why there is none."""


def frame(kind: int, content: bytes) -> bytes:
    return _HEAD.pack(len(content), kind) + content


class Frames:
    """Bytes as they come, taken apart."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole now. Raises ValueError for one that is too large."""
        held, found, at = self._bytes, [], 0
        held += data
        while len(held) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(held, at)
            if length > _LARGEST:
                raise ValueError("a frame is too large")
            end = at + _HEAD.size + length
            if len(held) < end:
                break
            found.append((kind, bytes(held[at + _HEAD.size : end])))
            at = end
        del held[:at]
        return found


class LocalServer:
    """``methods`` by their full names, listening at ``path``."""

    def __init__(self, path: str, methods: Mapping[str, Handler]) -> None:
        self._path = Path(path)
        self._methods = methods
        self._streams: set[_Stream] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """A path that cannot be listened on is left out: callers speak gRPC then."""
        loop = asyncio.get_running_loop()
        try:
            make = partial(_Stream, self._methods, self._streams)
            self._server = await loop.create_unix_server(make, str(self._path))
            self._inode = self._path.stat().st_ino
        except OSError as error:
            log.warning("local_not_listening", path=str(self._path), cause=str(error))

    async def stop(self) -> None:
        """Whoever has been answered is hung up on; nobody new comes."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # and not a successor's
                self._path.unlink()
        streams = list(self._streams)
        await asyncio.gather(*(stream.end() for stream in streams))


class _Context:
    """What a border and a handler want to know of a call."""

    def __init__(self, credential: str, fail: Callable[[bytes], None]) -> None:
        self._credential = credential
        self._fail = fail

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", self._credential),)

    def time_remaining(self) -> float:
        return _LIFE_SECONDS  # the caller bounds each of its waits

    def peer(self) -> str:
        return "unix:"

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> None:
        self._fail(dict(trailing_metadata).get(DETAILS, b""))


class _Stream(asyncio.Protocol):
    """One caller."""

    def __init__(self, methods: Mapping[str, Handler], streams: set["_Stream"]) -> None:
        self._methods = methods
        self._streams = streams
        self._frames = Frames()
        self._asked: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._streams.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._frames.feed(data)
        except ValueError:
            frames = [(FAILED, b"")]
        for kind, content in frames:
            if kind == HELLO and self._task is None:
                self._task = asyncio.create_task(self._serve(content))
            elif kind == ASK and self._task is not None and len(self._asked) < _MOST_WAITING:
                self._asked.append(content)
            else:
                self._transport.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.discard(self)
        self._ended = True
        self._wake()

    async def end(self) -> None:
        """After what was asked is answered."""
        self._ended = True
        self._wake()
        if self._task is not None:
            await asyncio.wait((self._task,))
        self._transport.close()

    async def _serve(self, hello: bytes) -> None:
        name, _, credential = hello.decode("latin-1").partition("\n")
        context = _Context(credential, self._failed)
        handler = self._methods.get(name)
        if handler is not None and await handler.admit(context):
            while (request := await self._next()) is not None:
                answer = await handler.answer(request, context)
                if answer is None:
                    break
                self._transport.write(frame(ANSWER, answer))
        self._transport.close()

    async def _next(self) -> bytes | None:
        """The next request; None when no more will come."""
        while not self._asked:
            if self._ended:
                return None
            self._more = self._loop.create_future()
            await self._more
        return self._asked.popleft()

    def _failed(self, status: bytes) -> None:
        self._transport.write(frame(FAILED, status))

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
