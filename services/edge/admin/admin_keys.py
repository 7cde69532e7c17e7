"""/admin/admin-keys: named keys for operators, of the platform or of one organisation."""

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from services.edge.admin import translate
from services.edge.admin.answers import answer, page
from services.edge.admin.body import fill, read_body
from services.edge.admin.border import Ask
from services.edge.admin.fields import ADMIN_KEY_CREATE
from services.edge.admin.query import Query


async def create(ask: Ask) -> Response:
    Query(ask.request)
    values = await read_body(ask.request, ADMIN_KEY_CREATE)
    request = admin_pb2.CreateAdminKeyRequest()
    fill(request.admin_key, ADMIN_KEY_CREATE, values)
    made = await ask.auth(ask.remote.auth.CreateAdminKey, request)
    described = translate.admin_key(made.admin_key)
    shown = {"admin_key_id": described.pop("admin_key_id"), "admin_key": made.secret, **described}
    return answer(shown, 201)


async def list_(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token")
    request = admin_pb2.ListAdminKeysRequest(
        page_size=query.size(), page_token=query.text("page_token")
    )
    found = await ask.auth(ask.remote.auth.ListAdminKeys, request)
    return page(map(translate.admin_key, found.admin_keys), found.next_page_token)


async def revoke(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.RevokeAdminKeyRequest(admin_key_id=ask.id("admin_key_id"))
    return answer(translate.admin_key(await ask.auth(ask.remote.auth.RevokeAdminKey, request)))


async def identity(ask: Ask) -> Response:
    """Who the presented admin key is."""
    Query(ask.request)
    return answer({"name": ask.identity.name, "org_id": ask.identity.org_id or None})
