"""What every answer of the console tells the browser: trust nothing that is not ours."""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class _Headers:
    """Adds the security headers to whatever the console answers. ``storing`` is what a browser may
    keep, where the answer does not say."""

    def __init__(self, app: ASGIApp, storing: bytes = b"no-store") -> None:
        self._app = app
        self._storing = (b"cache-control", storing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = [*_HEADERS, *([] if b"cache-control" in names else [self._storing])]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, send_with)


HEADERS = [Middleware(_Headers)]
FILE_HEADERS = [Middleware(_Headers, storing=b"no-cache")]
"""A file is kept, and asked for again only if it changed."""
