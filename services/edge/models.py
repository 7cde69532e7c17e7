"""GET /v1/models and /v1/models/{id}: what the caller's key may use."""

import orjson
from starlette.types import Receive, Scope, Send

from services.edge import errors
from services.edge.call import Rooms
from services.edge.exchange import Exchange
from services.edge.principal import Principal
from services.edge.principals import allowed

CREATED = 1_700_000_000
"""The catalog knows no dates; clients want a number."""


class Models:
    """The ASGI endpoint of the list, and of each model (path parameter ``model``)."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        exchange.facts["operation"] = "models"
        exchange.require_method("GET")
        caller = await self._rooms.admission.identify(exchange)
        wanted: str | None = scope["path_params"].get("model")
        if wanted is None:
            data = [_model(*pair) for pair in self._offered(caller.principal)]
            await exchange.answer(orjson.dumps({"object": "list", "data": data}))
            return
        target = self._rooms.catalog.find(wanted)
        usable = self._rooms.dispatch.usable(target, caller.principal)
        if not usable or not allowed(caller.principal, wanted, target.model):
            raise errors.unknown_model(wanted)
        await exchange.answer(orjson.dumps(_model(wanted, target.provider.name)))

    def _offered(self, principal: Principal) -> list[tuple[str, str]]:
        return [
            (name, provider)
            for name, provider in self._rooms.catalog.offered(principal.providers_with_key)
            if allowed(principal, name, self._rooms.catalog.find(name).model)
        ]


def _model(name: str, provider: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": provider}
