"""A key holder's own page: asked in the gateway's own name, for the one user behind the key."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from gateway.quota.v1 import quota_pb2 as money_pb2
from services.common.ids import new_request_id
from services.edge.admin import translate
from services.edge.admin.remote import Remote, call
from services.edge.admin.usage import usage_row
from services.edge.asking import Answer, Asked, Rpc
from services.edge.console.spending import Spending, chosen_month
from services.edge.console.visit import Visit
from services.edge.principal import Principal

_PAGE = 1_000

Verify = Callable[[str], Awaitable[Principal]]
"""The principal behind the hash of an API key. Raises GatewayError."""


class Mine:
    """``verify`` is asked for every page, so a revoked key shows nothing more."""

    def __init__(self, remote: Remote, verify: Verify, service_token: str) -> None:
        self.verify = verify
        self._remote = remote
        self._token = service_token

    async def show(self, visit: Visit) -> Response:
        who = await self.verify(visit.session.secret)
        month = chosen_month(visit)
        user = await self._auth(
            self._remote.auth.GetUser, admin_pb2.GetUserRequest(user_id=who.user_id)
        )
        key = await self._auth(
            self._remote.auth.GetApiKey,
            admin_pb2.GetApiKeyRequest(user_id=who.user_id, key_id=who.key_id),
        )
        spent = await self._spending(who, month)
        return visit.page(
            "mine.html",
            user=translate.user(user),
            key=translate.api_key(key),
            of_user=await self._usage(who.org_id, who.user_id, ""),
            of_key=await self._usage(who.org_id, who.user_id, who.key_id),
            chart=spent.chart("model"),
            models=spent.by("model"),
            days=sorted(spent.by("day"), key=lambda row: str(row["day"]), reverse=True),
            allowed=[list(patterns) for patterns in who.allowed_models],
            month=month,
            base_url=visit.base_url,
            model=visit.example_model,
        )

    async def _usage(self, org: str, user: str, key: str) -> Any:
        owner = money_pb2.Owner(org_id=org, user_id=user, key_id=key)
        request = quota_pb2.GetUsageRequest(owner=owner)
        return translate.usage(await self._quota(self._remote.quota.GetUsage, request))

    async def _spending(self, who: Principal, month: str) -> Spending:
        request = quota_pb2.ListUsageRecordsRequest(
            org_id=who.org_id, user_id=who.user_id, month=month, page_size=_PAGE
        )
        rows: list[dict[str, Any]] = []
        while True:
            found = await self._quota(self._remote.quota.ListUsageRecords, request)
            rows += map(usage_row, found.records)
            if not found.next_page_token:
                return Spending(month, rows)
            request.page_token = found.next_page_token

    async def _auth(self, rpc: Rpc[Asked, Answer], request: Asked) -> Answer:
        return await call(rpc, request, self._metadata(), service="auth")

    async def _quota(self, rpc: Rpc[Asked, Answer], request: Asked) -> Answer:
        return await call(rpc, request, self._metadata(), service="quota")

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"), ("x-request-id", new_request_id()))
