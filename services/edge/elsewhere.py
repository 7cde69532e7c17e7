"""What other endpoints of OpenAI's API are answered with: no, and why.

They are refused before any provider is called, to holders of a key only. Everybody behind the
gateway shares a credential at the provider, so what the provider keeps by id would be everybody's
to read; and what has no bound cannot be held against a budget.
"""

from collections.abc import Callable

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.edge.admission import Admission
from services.edge.errors import ApiError, invalid
from services.edge.exchange import Exchange

_STORED = (
    "is not offered: what it refers to is kept at the provider under a credential that all users "
    "of this gateway share, so others could read or change it. "
)
_SEND_ALL = "Send the whole conversation with each request instead ('store': false)."
_INLINE = "Send content in the request itself instead."
_UNBOUNDED = (
    "is not offered: the cost of such a request cannot be bounded before it is sent, so it cannot "
    "be held against a budget."
)

REASONS = {
    "/responses/{rest:path}": _STORED + _SEND_ALL,
    "/conversations": _STORED + _SEND_ALL,
    "/conversations/{rest:path}": _STORED + _SEND_ALL,
    "/chat/completions/{rest:path}": _STORED + _SEND_ALL,
    "/assistants": _STORED + _SEND_ALL,
    "/assistants/{rest:path}": _STORED + _SEND_ALL,
    "/threads": _STORED + _SEND_ALL,
    "/threads/{rest:path}": _STORED + _SEND_ALL,
    "/files": _STORED + _INLINE,
    "/files/{rest:path}": _STORED + _INLINE,
    "/uploads": _STORED + _INLINE,
    "/uploads/{rest:path}": _STORED + _INLINE,
    "/vector_stores": _STORED + _INLINE,
    "/vector_stores/{rest:path}": _STORED + _INLINE,
    "/containers": _STORED + _INLINE,
    "/containers/{rest:path}": _STORED + _INLINE,
    "/batches": _STORED + "Send the requests one by one instead.",
    "/batches/{rest:path}": _STORED + "Send the requests one by one instead.",
    "/fine_tuning/{rest:path}": _STORED,
    "/evals": _STORED,
    "/evals/{rest:path}": _STORED,
    "/audio/{rest:path}": _UNBOUNDED,
    "/videos": _UNBOUNDED,
    "/videos/{rest:path}": _UNBOUNDED,
    "/realtime": _UNBOUNDED,
    "/realtime/{rest:path}": _UNBOUNDED,
}
"""By path below ``/v1``; what follows an id is part of ``rest``."""


class Elsewhere:
    """The ASGI endpoint of one such path, whatever the method."""

    def __init__(self, admission: Admission, reason: str) -> None:
        self._admission = admission
        self._reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        await self._admission.identify(exchange)
        raise not_offered(exchange.method, exchange.path, self._reason)


def not_offered(method: str, path: str, reason: str) -> ApiError:
    told = f"{method} {path[:256]} {reason}".rstrip()
    return invalid(told, code="unsupported_endpoint", status=404)


def elsewhere_routes(
    admission: Admission, both: Callable[[str, ASGIApp], list[Route]]
) -> list[Route]:
    """``both`` makes the routes of a path."""
    return [
        route
        for path, reason in REASONS.items()
        for route in both(path, Elsewhere(admission, reason))
    ]
