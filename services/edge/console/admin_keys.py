"""/console/admin-keys: a named key for each operator, of the platform or of one organisation."""

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.directory import organizations
from services.edge.console.forms import Form, Input, Values, answer
from services.edge.console.inputs import ADMIN_NAME
from services.edge.console.visit import Visit

LIST = "/console/admin-keys"


async def list_(visit: Visit) -> Response:
    asked = {"page_size": "50", "page_token": visit.query("page_token")}
    found = await visit.get(path("admin-keys"), asked)
    names = (await organizations(visit)).names()
    return visit.page("admin_keys.html", admin_keys=found, names=names)


async def new(visit: Visit) -> Response:
    known = await organizations(visit)
    scope = Input(
        "org_id",
        "May manage",
        "choice",
        "A key of one organisation cannot see any other.",
        choices=(("", "The whole platform"), *((row["org_id"], row["name"]) for row in known.rows)),
    )
    form = Form("New admin key", (ADMIN_NAME, scope), "Create admin key", LIST)

    async def create(values: Values, once: str) -> Response:
        made = await visit.send("POST", path("admin-keys"), values, once)
        return visit.page(
            "secret.html",
            title="Admin key created",
            what="admin key",
            secret=made["admin_key"],
            back=LIST,
            snippets=False,
        )

    return await answer(visit, form, create)


async def revoke(visit: Visit) -> Response:
    form = Form(
        "Revoke this admin key?",
        (),
        "Revoke admin key",
        LIST,
        facts=("It stops working at once, here and everywhere. This cannot be undone.",),
        danger=True,
    )

    async def end(_: Values, once: str) -> Response:
        await visit.send("DELETE", path("admin-keys", visit.id("admin_key_id")), None, once)
        return visit.go(f"{LIST}?done=revoked")

    return await answer(visit, form, end)
