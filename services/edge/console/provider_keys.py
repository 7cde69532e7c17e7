"""/console/organizations/{org_id}/provider-keys: written, replaced and removed, never read."""

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.forms import Form, Values, answer
from services.edge.console.inputs import CREDENTIAL, PROVIDER
from services.edge.console.visit import Visit


async def new(visit: Visit) -> Response:
    form = Form(
        "Provider key",
        (PROVIDER, CREDENTIAL),
        "Store key",
        _back(visit),
        facts=(
            "Requests of this organisation to the provider use this key instead of the gateway's "
            "own. A key that is there already is replaced.",
        ),
        values={"provider": visit.query("provider")},
    )

    async def store(values: Values, once: str) -> Response:
        provider = str(values.get("provider") or " ")
        await visit.send("PUT", _path(visit, provider), {"credential": values["credential"]}, once)
        return visit.go(f"{form.back}?done=stored")

    return await answer(visit, form, store)


async def delete(visit: Visit) -> Response:
    provider = visit.id("provider")
    form = Form(
        f"Remove the key for {provider}?",
        (),
        "Remove key",
        _back(visit),
        facts=("Requests to the provider use the gateway's own credential again, if it has one.",),
        danger=True,
    )

    async def remove(_: Values, once: str) -> Response:
        await visit.send("DELETE", _path(visit, provider), None, once)
        return visit.go(f"{form.back}?done=removed")

    return await answer(visit, form, remove)


def _path(visit: Visit, provider: str) -> str:
    return path("organizations", visit.id("org_id"), "provider-keys", provider)


def _back(visit: Visit) -> str:
    return f"/console/organizations/{visit.id('org_id')}"
