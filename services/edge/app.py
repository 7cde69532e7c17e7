"""Every route of the edge, in one expression."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from services.edge.call import Call, Rooms
from services.edge.chat import CHAT
from services.edge.clients import QuotaClient
from services.edge.envelope import Envelope, http_error
from services.edge.health import Healthz, Readiness, Readyz
from services.edge.metrics import EdgeMetrics
from services.edge.models import Models
from services.edge.openapi.routes import openapi_routes
from services.edge.usage_page import UsagePage


def build(
    rooms: Rooms,
    quota: QuotaClient,
    readiness: Readiness,
    metrics: EdgeMetrics,
    *,
    admin: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. ``admin`` are the control plane's routes."""
    models = Models(rooms)
    app = Starlette(
        routes=[
            *_both("/chat/completions", Call(CHAT, rooms)),
            *_both("/models", models),
            *_both("/models/{model:path}", models),
            *_both("/usage", UsagePage(rooms.admission, quota)),
            Route("/healthz", Healthz()),
            Route("/readyz", Readyz(readiness)),
            *openapi_routes(),
            *admin,
            *openapi_routes(),
        ],
        middleware=[Middleware(Envelope, metrics=metrics)],
        exception_handlers={HTTPException: http_error},
    )
    app.router.redirect_slashes = False
    return app


def _both(path: str, endpoint: ASGIApp) -> list[Route]:
    """Base URLs are configured with ``/v1`` and without."""
    return [Route(f"/v1{path}", endpoint), Route(path, endpoint)]
