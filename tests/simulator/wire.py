"""Raw HTTP to the simulator, and its event streams taken apart."""

import contextlib
import socket
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from services.simulator.server import Simulator


@dataclass
class Heard:
    """What a caller received: the parts of the body as they came, and how it ended."""

    status: int
    headers: httpx.Headers
    parts: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    broken: str | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def data(self) -> list[str]:
        """The data of each event."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [orjson.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def deltas(self) -> list[str]:
        """The text of each chat delta."""
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", [])]
        contents = [choice["delta"].get("content") for choice in choices]
        return [content for content in contents if content]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Wire:
    http: httpx.Client

    def chat(
        self, message: str, headers: dict[str, str] | None = None, stream: bool = True, **more: Any
    ) -> Heard:
        """One chat request, a stream unless told otherwise."""
        body = {
            "model": "simulator/lorem",
            "messages": [{"role": "user", "content": message}],
            "stream": stream,
        }
        return self.post("/v1/chat/completions", body | more, headers)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Heard:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"content-type": "application/json", **(headers or {})}
        with self.http.stream("POST", path, content=content, headers=sent) as response:
            heard = Heard(response.status_code, response.headers)
            try:
                for part in response.iter_raw():
                    heard.parts.append(part)
                    heard.times.append(time.monotonic())
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                heard.broken = type(error).__name__
        return heard

    def hang_up(self, message: str, after: int) -> Heard:
        """A streaming chat request whose caller leaves after some deltas, or before the headers."""
        body = {
            "model": "lorem",
            "messages": [{"role": "user", "content": message}],
            "stream": True,
        }
        heard = Heard(0, httpx.Headers())
        with (
            contextlib.suppress(httpx.ReadTimeout),
            self.http.stream(
                "POST", "/v1/chat/completions", json=body, timeout=httpx.Timeout(10, read=0.3)
            ) as response,
        ):
            heard.status = response.status_code
            for part in response.iter_raw():
                heard.parts.append(part)
                if len(heard.deltas) >= after:
                    break
        return heard

    def records(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The witness log, once nothing runs any more."""
        deadline = time.monotonic() + 5
        while self.http.get("/_sim/stats").json()["running"]:
            assert time.monotonic() < deadline, "a request still runs"
        params = {"request_id": request_id} if request_id else {}
        records: list[dict[str, Any]] = self.http.get("/_sim/log", params=params).json()["requests"]
        return records


def raw(simulator: Simulator, message: str, stream: bool = True) -> tuple[bytes, str]:
    """All bytes of an answer, and how TCP ended: ``reset`` or ``fin``."""
    body = orjson.dumps(
        {"model": "lorem", "stream": stream, "messages": [{"role": "user", "content": message}]}
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    address = urlsplit(simulator.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        try:
            while part := connection.recv(65_536):
                received += part
        except ConnectionResetError:
            return received, "reset"
    return received, "fin"


def http_chunks(received: bytes) -> list[bytes]:
    """The chunks of a chunked HTTP answer as they were written."""
    rest, chunks = received.partition(b"\r\n\r\n")[2], []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        chunks.append(rest[:length])
        rest = rest[length + 2 :]
        if not length:
            break
    return chunks[:-1]
