"""/admin/metrics and /admin/health: what an operator looks at first.

What one service cannot tell at the moment is null, beside its status; the rest is told.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.common.errors import GatewayError, Unavailable
from services.common.money import to_usd
from services.edge.admin import translate
from services.edge.admin.answers import answer
from services.edge.admin.border import Ask
from services.edge.admin.query import Query

_TOP = 10
_SECONDS = 2.0

T = TypeVar("T")
Timed = tuple[T | None, float]


class Overview:
    """``started`` is the edge's own start, ``time.monotonic()``."""

    def __init__(self, started: float) -> None:
        self._started = started

    async def health(self, ask: Ask) -> Response:
        Query(ask.request)
        request = quota_pb2.GetMetricsRequest(org_id=ask.identity.org_id)
        books = ask.quota(ask.remote.quota.GetMetrics, request, _SECONDS)
        auth, (sums, quota_ms) = await asyncio.gather(_timed(_status(ask)), _timed(books))
        services = self._services(auth, sums, quota_ms)
        return answer({"status": _overall(services), "services": services})

    async def metrics(self, ask: Ask) -> Response:
        query = Query(ask.request, "org_id", "month")
        org_id, month = query.text("org_id") or ask.identity.org_id, query.month()
        auth, quota = ask.remote.auth, ask.remote.quota
        counts = ask.auth(
            auth.GetDirectoryCounts, admin_pb2.GetDirectoryCountsRequest(org_id=org_id), _SECONDS
        )
        asked = quota_pb2.GetMetricsRequest(org_id=org_id, month=month)
        books = ask.quota(quota.GetMetrics, asked, _SECONDS)
        (
            status,
            (directory, _),
            (sums, quota_ms),
            (by_cost, _),
            (by_requests, _),
        ) = await asyncio.gather(
            _timed(_status(ask)),
            _timed(counts),
            _timed(books),
            _timed(_top(ask, org_id, month, quota_pb2.RANKING_COST)),
            _timed(_top(ask, org_id, month, quota_pb2.RANKING_REQUESTS)),
        )
        services = self._services(status, sums, quota_ms)
        return answer(
            {
                "status": _overall(services),
                "org_id": org_id or None,
                "month": sums.month if sums else month or None,
                "uptime_seconds": self._uptime(),
                "services": services,
                "totals": {**_directory(directory), **_books(sums)},
                "api_keys": _keys(directory),
                "top_users_by_cost": _ranked(by_cost),
                "top_users_by_requests": _ranked(by_requests),
            }
        )

    def _uptime(self) -> int:
        return int(time.monotonic() - self._started)

    def _services(
        self,
        auth: Timed[admin_pb2.ServiceStatus],
        sums: quota_pb2.Metrics | None,
        quota_ms: float,
    ) -> dict[str, Any]:
        status, auth_ms = auth
        return {
            "edge": {"status": "ok", "latency_ms": 0.0, "uptime_seconds": self._uptime()},
            "auth": _service(status, auth_ms),
            "quota": _service(sums, quota_ms),
        }


def _top(
    ask: Ask, org_id: str, month: str, ranking: quota_pb2.Ranking
) -> Awaitable[quota_pb2.ListTopUsersResponse]:
    request = quota_pb2.ListTopUsersRequest(
        org_id=org_id, month=month, ranking=ranking, page_size=_TOP
    )
    return ask.quota(ask.remote.quota.ListTopUsers, request, _SECONDS)


async def _timed(asked: Awaitable[T]) -> Timed[T]:
    """An answer and how long it took, milliseconds; None from a service that is away."""
    started = time.perf_counter()
    found: T | None = None
    try:
        found = await asked
    except GatewayError as error:
        if not isinstance(error, Unavailable):
            raise
    return found, round((time.perf_counter() - started) * 1_000, 3)


def _status(ask: Ask) -> Awaitable[admin_pb2.ServiceStatus]:
    return ask.auth(ask.remote.auth.GetStatus, admin_pb2.GetStatusRequest(), _SECONDS)


def _service(told: admin_pb2.ServiceStatus | quota_pb2.Metrics | None, ms: float) -> dict[str, Any]:
    return {
        "status": "ok" if told else "unavailable",
        "latency_ms": ms,
        "uptime_seconds": told.uptime_seconds if told else None,
        "kv_latency_ms": told.kv_latency_micros / 1_000 if told else None,
    }


def _overall(services: dict[str, Any]) -> str:
    return "ok" if all(each["status"] == "ok" for each in services.values()) else "degraded"


def _directory(counts: admin_pb2.DirectoryCounts | None) -> dict[str, Any]:
    return {
        "organizations": counts.organizations if counts else None,
        "users": counts.users if counts else None,
    }


def _keys(counts: admin_pb2.DirectoryCounts | None) -> dict[str, Any]:
    return {
        "total": counts.api_keys if counts else None,
        "active": counts.api_keys_active if counts else None,
        "revoked": counts.api_keys_revoked if counts else None,
    }


def _books(sums: quota_pb2.Metrics | None) -> dict[str, Any]:
    return {
        "request_count": sums.request_count if sums else None,
        "running_requests": sums.held_count if sums else None,
        "spent_usd": to_usd(sums.spent_nano_usd) if sums else None,
        "held_usd": to_usd(sums.held_nano_usd) if sums else None,
        "grace_usd": to_usd(sums.grace_nano_usd) if sums else None,
        "input_tokens": sums.input_tokens if sums else None,
        "output_tokens": sums.output_tokens if sums else None,
    }


def _ranked(found: quota_pb2.ListTopUsersResponse | None) -> list[dict[str, Any]] | None:
    return [translate.top_user(user) for user in found.users] if found else None
