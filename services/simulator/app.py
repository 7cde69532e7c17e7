"""The simulator as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.simulator import chat, completions, embeddings, errors, models, responses
from services.simulator.api import Api
from services.simulator.cloudflare import Family
from services.simulator.errors import Refused
from services.simulator.provider import Endpoint
from services.simulator.settings import SimulatorSettings
from services.simulator.witness import Witness

_COMPAT = "/v1/{account}/{gateway}/compat"
_NATIVE = "/v1/{account}/{gateway}/{provider}"
_REST = "/client/v4/accounts/{account}/ai/v1"


def app(settings: SimulatorSettings) -> Starlette:
    """A simulator of its own; its witness is ``app.state.witness``."""
    witness = Witness(settings.log, settings.keep_bodies)

    def post(path: str, api: Api, family: Family = Family.OPENAI, done: bool = True) -> Route:
        return Route(path, Endpoint(api, settings, witness, family, done), methods=["POST"])

    def get(path: str, api: Api) -> Route:
        return Route(path, Endpoint(api, settings, witness), methods=["GET"])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        witness.close()

    routes = [
        post("/v1/chat/completions", chat),
        post("/v1/completions", completions),
        post("/v1/responses", responses, done=False),
        post("/v1/embeddings", embeddings),
        get("/v1/models", models),
        get("/v1/models/{id:path}", models),
        post(f"{_COMPAT}/chat/completions", chat, Family.COMPAT),
        post(f"{_NATIVE}/responses", responses, done=False),
        post(f"{_NATIVE}/embeddings", embeddings),
        post(f"{_REST}/chat/completions", chat, Family.REST),
        post(f"{_REST}/responses", responses, Family.REST, done=False),
        Route("/healthz", _health, methods=["GET"]),
        Route("/_sim/log", _log, methods=["GET", "DELETE"]),
        Route("/_sim/stats", _stats, methods=["GET"]),
    ]
    simulator = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={404: _unknown, 405: _not_allowed},
    )
    simulator.router.redirect_slashes = False
    simulator.state.witness = witness
    return simulator


async def _health(_: Request) -> Response:
    return _json({"status": "ok"})


async def _log(request: Request) -> Response:
    witness: Witness = request.app.state.witness
    if request.method == "DELETE":
        witness.clear()
        return Response(status_code=204)
    return _json({"requests": witness.records(request.query_params.get("request_id"))})


async def _stats(request: Request) -> Response:
    witness: Witness = request.app.state.witness
    return _json(witness.stats())


async def _unknown(request: Request, _: Exception) -> Response:
    return _refused(Refused(f"Invalid URL ({request.method} {request.url.path})", 404))


async def _not_allowed(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    message = f"Not allowed to {request.method} on {request.url.path}"
    response = _refused(Refused(message, 405, code="method_not_supported"))
    response.headers.update(raised.headers or {})
    return response


def _refused(error: Refused) -> Response:
    body, content_type = errors.written(error, "openai")
    return Response(body, error.status, media_type=content_type)


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type=errors.JSON)
