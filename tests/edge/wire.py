"""HTTP without a client library's opinions."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.edge.world import Member


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The envelope's content, after a look at its form."""
        assert self.headers["content-type"] == "application/json", self
        assert self.headers["x-request-id"].startswith("req_"), self
        error: dict[str, Any] = self.json["error"]
        assert sorted(error) == ["code", "message", "param", "type"], self
        assert error["code"] is None or isinstance(error["code"], str)
        return error


def ask(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: list[tuple[str, str]] | dict[str, str] | None = None,
) -> Reply:
    """One request, exactly these headers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        pairs = headers.items() if isinstance(headers, dict) else headers or []
        for name, value in pairs:
            connection.putheader(name, value)
        if body is not None and "content-length" not in {name.lower() for name, _ in pairs}:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        connection.close()


def bearer(member: Member) -> dict[str, str]:
    return {"authorization": f"Bearer {member.key}", "content-type": "application/json"}


def chat(url: str, member: Member, body: Any = None, **fields: Any) -> Reply:
    """A chat request; ``fields`` are members of its body, which ``body`` replaces."""
    told = {"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello"}], **fields}
    raw = body if isinstance(body, bytes) else json.dumps(told if body is None else body).encode()
    return ask(url, "POST", "/v1/chat/completions", raw, bearer(member))


def sim(directive: str, text: str = "Hello") -> list[dict[str, str]]:
    """Messages that tell the simulator how to answer."""
    return [{"role": "user", "content": f"[[sim {directive}]] {text}"}]


@contextmanager
def raw_connection(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as made:
        yield made


def raw_request(member: Member, body: bytes, *extra: str) -> bytes:
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: edge",
        f"authorization: Bearer {member.key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *extra,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
