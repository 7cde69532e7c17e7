"""Pages of other origins may call the API where the operator names them (GATEWAY_CORS_ORIGINS);
nobody else's. Never with cookies, and never the control plane."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from services.edge.cycle import CYCLE

_INSIDE = ("/admin", "/console")
_SHOWN = (
    *("x-request-id", "retry-after", "retry-after-ms", "x-should-retry"),
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ),
    *("x-gateway-model", "x-gateway-max-tokens"),
)


def allowing(served: ASGIApp, origins: str) -> ASGIApp:
    """``served``, for pages of ``origins`` (with commas between them), too."""
    named = [origin for origin in origins.split(",") if origin]
    if not named:
        return served
    known = {origin.encode() for origin in named}
    shared = CORSMiddleware(
        served,
        allow_origins=named,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),
        expose_headers=_SHOWN,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        theirs = scope["type"] == "http" and not scope["path"].startswith(_INSIDE)
        if theirs and any(n == b"origin" and v in known for n, v in scope["headers"]):
            scope.pop(CYCLE, None)  # no way past the one who adds headers
            await shared(scope, receive, send)
        else:
            await served(scope, receive, send)

    return app
