"""GET /v1/usage: what the caller's own user and key spent, hold and may still spend."""

import asyncio
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from gateway.quota.v1.admin_pb2 import Usage
from gateway.quota.v1.quota_pb2 import Owner
from services.common.errors import Unavailable
from services.common.money import to_usd
from services.edge import errors
from services.edge.admission import Admission
from services.edge.clients import QuotaClient
from services.edge.exchange import Exchange


class UsagePage:
    """The ASGI endpoint. The user's figures stand at the top, the key's under ``key``; the
    organisation's are for its administrators."""

    def __init__(self, admission: Admission, quota: QuotaClient) -> None:
        self._admission = admission
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        exchange.facts["operation"] = "usage"
        exchange.require_method("GET")
        caller = await self._admission.identify(exchange)
        who = caller.principal
        owner = Owner(org_id=who.org_id, user_id=who.user_id)
        key = Owner(org_id=who.org_id, user_id=who.user_id, key_id=who.key_id)
        try:
            of_user, of_key = await asyncio.gather(self._quota.usage(owner), self._quota.usage(key))
        except Unavailable as error:
            raise errors.unavailable("quota") from error
        page = {
            "object": "usage",
            "org_id": who.org_id,
            "user_id": who.user_id,
            **_figures(of_user),
            "key": {"key_id": who.key_id, **_figures(of_key)},
        }
        await exchange.answer(orjson.dumps(page), headers=[(b"cache-control", b"no-store")])


def _figures(usage: Usage) -> dict[str, Any]:
    limited = usage.HasField("limit_nano_usd")
    return {
        "month": usage.month,
        "spent_usd": to_usd(usage.spent_nano_usd),
        "held_usd": to_usd(usage.held_nano_usd),
        "limit_usd": to_usd(usage.limit_nano_usd) if limited else None,
        "remaining_usd": to_usd(usage.remaining_nano_usd) if limited else None,
        "request_count": usage.request_count,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "resets_at": usage.reset_time.ToJsonString(),
    }
