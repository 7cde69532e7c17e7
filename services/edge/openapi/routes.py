"""/openapi.json and /docs: made once, served to anybody."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.edge.openapi.document import document
from services.edge.openapi.page import page, policy


def openapi_routes() -> list[Route]:
    described = document()
    machine = orjson.dumps(described)
    people = page(described).encode()
    headers = {
        "content-security-policy": policy(),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }

    async def openapi(request: Request) -> Response:
        return Response(machine, media_type="application/json")

    async def docs(request: Request) -> Response:
        return Response(people, media_type="text/html", headers=headers)

    return [
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
    ]
