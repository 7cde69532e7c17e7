"""/admin/organizations/{org_id}/provider-keys: write-only credentials for providers."""

import re

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from services.edge.admin import translate
from services.edge.admin.answers import answer, page
from services.edge.admin.body import read_body
from services.edge.admin.border import Ask
from services.edge.admin.fields import PROVIDER_KEY_SET
from services.edge.admin.query import Query
from services.edge.admin.refusal import unprocessable
from services.edge.admin.remote import LONG_SECONDS

_PROVIDER = re.compile(r"[a-z0-9_-]{1,64}")


def _provider(ask: Ask) -> str:
    name = str(ask.request.path_params["provider"])
    if not _PROVIDER.fullmatch(name):
        raise unprocessable("provider", "must be 1 to 64 of a-z, 0-9, `-` and `_`")
    return name


async def put(ask: Ask) -> Response:
    Query(ask.request)
    org_id, provider = ask.id("org_id"), _provider(ask)
    values = await read_body(ask.request, PROVIDER_KEY_SET)
    request = admin_pb2.SetProviderKeyRequest(
        org_id=org_id, provider=provider, credential=values["credential"]
    )
    return answer(translate.provider_key(await ask.auth(ask.remote.auth.SetProviderKey, request)))


async def list_(ask: Ask) -> Response:
    query = Query(ask.request, "page_size", "page_token")
    request = admin_pb2.ListProviderKeysRequest(
        org_id=ask.id("org_id"), page_size=query.size(), page_token=query.text("page_token")
    )
    found = await ask.auth(ask.remote.auth.ListProviderKeys, request)
    return page(map(translate.provider_key, found.provider_keys), found.next_page_token)


async def delete(ask: Ask) -> Response:
    Query(ask.request)
    request = admin_pb2.DeleteProviderKeyRequest(org_id=ask.id("org_id"), provider=_provider(ask))
    await ask.auth(ask.remote.auth.DeleteProviderKey, request)
    return answer({"org_id": request.org_id, "provider": request.provider, "deleted": True})


async def rewrap(ask: Ask) -> Response:
    """Encrypts every provider key again under the newest master key."""
    Query(ask.request)
    await read_body(ask.request, (), optional=True)
    done = await ask.auth(
        ask.remote.auth.RewrapProviderKeys, admin_pb2.RewrapProviderKeysRequest(), LONG_SECONDS
    )
    return answer({"rewrapped": done.rewrapped})
