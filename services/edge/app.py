"""Every route of the edge, in one expression."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.edge.audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from services.edge.call import Call, Rooms
from services.edge.chat import CHAT
from services.edge.clients import QuotaClient
from services.edge.completions import COMPLETIONS
from services.edge.elsewhere import elsewhere_routes
from services.edge.embeddings import EMBEDDINGS
from services.edge.envelope import Envelope, http_error
from services.edge.health import Healthz, Readiness, Readyz
from services.edge.images import EDITS, IMAGES, VARIATIONS
from services.edge.metrics import EdgeMetrics
from services.edge.models import Models
from services.edge.moderations import MODERATIONS
from services.edge.openapi.routes import openapi_routes
from services.edge.responses import RESPONSES
from services.edge.usage_page import UsagePage

if TYPE_CHECKING:  # an extra: not there unless it is wanted
    from services.edge.tracing import Tracing


OTHERS = (
    *(RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS),
    *(IMAGES, EDITS, VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS),
)


def build(
    rooms: Rooms,
    quota: QuotaClient,
    readiness: Readiness,
    metrics: EdgeMetrics,
    *,
    admin: Sequence[BaseRoute] = (),
    tracing: "Tracing | None" = None,
) -> ASGIApp:
    """The application. ``admin`` are the control plane's routes."""
    enveloped = partial(Envelope, metrics=metrics, tracing=tracing)
    models = Models(rooms)
    chat = Call(CHAT, rooms)
    app = _routed(
        [
            *_both("/chat/completions", chat),
            *(route for api in OTHERS for route in _both(api.path, Call(api, rooms))),
            *_both("/models", models),
            *_both("/models/{model:path}", models),
            *_both("/usage", UsagePage(rooms.admission, quota)),
            *elsewhere_routes(rooms.admission, _both),
            Route("/healthz", Healthz()),
            Route("/readyz", Readyz(readiness)),
            *openapi_routes(),
            *admin,
        ],
        enveloped,
    )
    direct = enveloped(chat)
    return _Fork({"/v1/chat/completions": direct, "/chat/completions": direct}, app)


def build_admin(admin: Sequence[BaseRoute], metrics: EdgeMetrics) -> ASGIApp:
    """The control plane alone, for a listener of its own."""
    return _routed(
        [Route("/healthz", Healthz()), *openapi_routes(), *admin],
        partial(Envelope, metrics=metrics),
    )


def _routed(routes: Sequence[BaseRoute], enveloped: Callable[[ASGIApp], ASGIApp]) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=[Middleware(enveloped)],
        exception_handlers={HTTPException: http_error},
    )
    app.router.redirect_slashes = False
    return app


class _Fork:
    """Goes straight to what is asked most, spelled as it should be; all else is routed."""

    def __init__(self, hot: dict[str, ASGIApp], rest: ASGIApp) -> None:
        self._hot = hot
        self._rest = rest

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._hot.get(scope["path"], self._rest)(scope, receive, send)


def _both(path: str, endpoint: ASGIApp) -> list[Route]:
    """Base URLs are configured with ``/v1`` and without."""
    return [Route(f"/v1{path}", endpoint), Route(path, endpoint)]
