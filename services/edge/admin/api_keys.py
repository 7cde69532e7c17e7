"""/admin/users/{user_id}/api-keys"""

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from gateway.quota.v1 import quota_pb2 as money_pb2
from services.edge.admin import translate
from services.edge.admin.answers import answer, page
from services.edge.admin.body import fill, mask, read_body
from services.edge.admin.border import Ask
from services.edge.admin.fields import API_KEY_ROTATE, API_KEY_WRITE
from services.edge.admin.query import Query

_STATUSES = ("", "active", "revoked")


async def create(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.CreateApiKeyRequest()
    request.api_key.user_id = ask.id("user_id")
    values = await read_body(ask.request, API_KEY_WRITE, optional=True)
    fill(request.api_key, API_KEY_WRITE, values)
    return _made(await ask.auth(ask.remote.auth.CreateApiKey, request))


async def get(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.GetApiKeyRequest(user_id=ask.id("user_id"), key_id=ask.id("key_id"))
    return answer(translate.api_key(await ask.auth(ask.remote.auth.GetApiKey, request)))


async def list_(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token", "status")
    request = admin_pb2.ListApiKeysRequest(
        user_id=ask.id("user_id"),
        page_size=query.size(),
        page_token=query.text("page_token"),
        status=translate.status_number(query.choice("status", _STATUSES)),
    )
    found = await ask.auth(ask.remote.auth.ListApiKeys, request)
    return page(map(translate.api_key, found.api_keys), found.next_page_token)


async def update(ask: Ask) -> Response:
    Query(ask.request)
    user_id, key_id = ask.id("user_id"), ask.id("key_id")
    values = await read_body(ask.request, API_KEY_WRITE)
    request = admin_pb2.UpdateApiKeyRequest(update_mask=mask(API_KEY_WRITE, values))
    request.api_key.user_id = user_id
    request.api_key.key_id = key_id
    fill(request.api_key, API_KEY_WRITE, values)
    return answer(translate.api_key(await ask.auth(ask.remote.auth.UpdateApiKey, request)))


async def revoke(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.RevokeApiKeyRequest(user_id=ask.id("user_id"), key_id=ask.id("key_id"))
    return answer(translate.api_key(await ask.auth(ask.remote.auth.RevokeApiKey, request)))


async def rotate(ask: Ask) -> Response:
    Query(ask.request)
    user_id, key_id = ask.id("user_id"), ask.id("key_id")
    values = await read_body(ask.request, API_KEY_ROTATE, optional=True)
    request = admin_pb2.RotateApiKeyRequest(
        user_id=user_id, key_id=key_id, overlap_seconds=values.get("overlap_seconds", 0)
    )
    return _made(await ask.auth(ask.remote.auth.RotateApiKey, request))


async def usage(ask: Ask) -> Response:
    month = Query(ask.request, "month").month()
    request = admin_pb2.GetApiKeyRequest(user_id=ask.id("user_id"), key_id=ask.id("key_id"))
    key = await ask.auth(ask.remote.auth.GetApiKey, request)
    owner = money_pb2.Owner(org_id=key.org_id, user_id=key.user_id, key_id=key.key_id)
    asked = quota_pb2.GetUsageRequest(owner=owner, month=month)
    return answer(translate.usage(await ask.quota(ask.remote.quota.GetUsage, asked)))


def _made(made: admin_pb2.CreateApiKeyResponse) -> Response:
    key = made.api_key
    location = f"/admin/users/{key.user_id}/api-keys/{key.key_id}"
    return answer(translate.new_api_key(made), 201, location=location)
