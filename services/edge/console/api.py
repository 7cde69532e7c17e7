"""The admin API, asked in this process as any program asks it over HTTP: the same checks, the same
identity, the same slowing of guessers, the same audit trail. The console knows no other way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from services.edge.admin.remote import Remote
from services.edge.admin.routes import admin_routes
from services.edge.exchange import unknown_url

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """``once`` is an idempotency key; ``body`` becomes JSON."""

    method: str
    path: str
    query: Query | None = None
    body: Mapping[str, Any] | None = None
    once: str = ""


class Api:
    def __init__(self, remote: Remote, started: float | None) -> None:
        self._app = Router(admin_routes(remote, started=started))

    async def ask(self, request: Request, credential: str, call: Call) -> Any:
        """The JSON answer, for the browser behind ``request``. Raises ApiError."""
        content = b"" if call.body is None else orjson.dumps(call.body)
        status = 0
        answer = bytearray()

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                answer.extend(message.get("body", b""))

        scope = _scope(request, credential, call, len(content))
        await self._app(scope, _once(content), send)
        if status >= 400:
            raise unknown_url(call.method, call.path)
        return orjson.loads(answer) if answer else {}

    def stream(self, request: Request, credential: str, call: Call) -> Response:
        """The answer as it comes, to be handed to the browser unread."""
        return _Stream(self._app, _scope(request, credential, call))


class _Stream(Response):
    def __init__(self, app: Router, inner: Scope) -> None:
        super().__init__()
        self._app = app
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(self._inner, receive, send)


def path(*parts: str) -> str:
    """A path of the admin API. What came from outside stays one segment, and what is no id stays
    encoded, so that it is unknown there."""
    return "/admin/" + "/".join(quote(part, safe="") for part in parts)


def _scope(request: Request, credential: str, call: Call, length: int = 0) -> Scope:
    headers = [
        (b"authorization", f"Bearer {credential}".encode("latin-1", "replace")),
        (b"content-length", str(length).encode()),
    ]
    if call.body is not None:
        headers.append((b"content-type", b"application/json"))
    if call.once:
        headers.append((b"idempotency-key", call.once.encode()))
    asked = {name: value for name, value in (call.query or {}).items() if value}
    return {
        "type": "http",
        "asgi": request.scope["asgi"],
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "root_path": "",
        "query_string": urlencode(asked).encode(),
        "headers": headers,
        "client": request.scope.get("client"),
        "server": request.scope.get("server"),
        "state": request.scope.get("state", {}),
    }


def _once(content: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive
