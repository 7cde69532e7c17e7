"""The caller's end of ``services.common.local``: a stream to a service on this machine."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.rpc import status_pb2

from services.common.local import ANSWER, ASK, DETAILS, HELLO, SUFFIX, Frames, frame

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def place(target: str, certificate: str) -> str:
    """Where the streams of a gRPC ``target`` are, if it is a neighbour: ``unix:path``, and with no
    certificate to be shown. Empty for others."""
    scheme, _, path = target.partition(":")
    return f"{path}{SUFFIX}" if scheme == "unix" and not certificate else ""


def nearby(place: str, method: str, answer: Any, opened: Callable[..., Any]) -> Callable[..., Any]:
    """What ``opened``, a stream-stream RPC of a stub, does; by the socket at ``place`` where there
    is one. ``answer`` is the class of its answers."""
    if not place:
        return opened

    def choose(*, timeout: float, metadata: tuple[tuple[str, str], ...]) -> Any:
        if Path(place).is_socket():
            return LocalStream(place, method, dict(metadata)["authorization"], answer)
        return opened(timeout=timeout, metadata=metadata)

    return choose


class LocalStream(asyncio.Protocol):
    """A caller's end, used as grpc.aio's stream-stream call is: ``write``, then ``read``."""

    def __init__(self, path: str, method: str, credential: str, answer: Any) -> None:
        self._path = path
        self._hello = frame(HELLO, f"{method}\n{credential}".encode("latin-1"))
        self._made = answer
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Any] | None = None
        self._lost = False
        self._loop = asyncio.get_running_loop()

    async def write(self, request: Any) -> None:
        """Raises asyncio.InvalidStateError where nobody is there (any more)."""
        if self._transport is None:
            with contextlib.suppress(OSError):
                await self._loop.create_unix_connection(lambda: self, self._path)
        if self._transport is None or self._lost:
            raise asyncio.InvalidStateError("nobody listens there")
        self._answer = self._loop.create_future()
        hello, self._hello = self._hello, b""
        self._transport.write(hello + frame(ASK, request.SerializeToString()))

    async def read(self) -> Any:
        """The answer; EOF where the server went without one. Raises grpc.aio.AioRpcError."""
        assert self._answer is not None
        return await self._answer

    async def done_writing(self) -> None:
        self.cancel()

    def cancel(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, content in self._frames.feed(data):
            answer = self._answer
            if answer is None or answer.done():
                continue
            if kind == ANSWER:
                answer.set_result(self._made.FromString(content))
            else:
                answer.set_exception(_raised(content))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(grpc.aio.EOF)


def _raised(content: bytes) -> grpc.aio.AioRpcError:
    status = status_pb2.Status.FromString(content)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    told = grpc.aio.Metadata((DETAILS, content))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), told, status.message)
