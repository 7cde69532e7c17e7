"""``python -m tests.bench.naive PORT AUTH QUOTA UPSTREAM TOKEN``: a gateway as written first.

Starlette and httpx's client, the body as a dict and back, three unary gRPC calls in line with
every request: who is it, may it, what did it cost. The services behind it are the real ones.
"""

import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from gateway.quota.v1 import quota_pb2, quota_pb2_grpc
from services.common.ids import new_reservation_id

_PRICED = "bench/plain"


class Naive:
    """The three parties a request meets."""

    def __init__(self, auth: str, quota: str, upstream: str, token: str) -> None:
        self._targets = (auth, quota)
        self._upstream = upstream
        self._metadata = (("authorization", f"Bearer {token}"),)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._auth = auth_pb2_grpc.AuthServiceStub(grpc.aio.insecure_channel(self._targets[0]))
        self._quota = quota_pb2_grpc.QuotaServiceStub(grpc.aio.insecure_channel(self._targets[1]))
        limits = httpx.Limits(max_connections=4_096, max_keepalive_connections=4_096)
        async with httpx.AsyncClient(limits=limits, timeout=60) as self._client:
            yield

    async def chat(self, request: Request) -> Response:
        key = request.headers["authorization"].removeprefix("Bearer ")
        verified = await self._auth.VerifyApiKey(
            auth_pb2.VerifyApiKeyRequest(key_hash=hashlib.sha256(key.encode()).hexdigest()),
            metadata=self._metadata,
            timeout=1,
        )
        principal = verified.principal
        body: dict[str, Any] = await request.json()
        owner = quota_pb2.Owner(
            org_id=principal.org_id, user_id=principal.user_id, key_id=principal.key_id
        )
        reservation = new_reservation_id()
        reserved = await self._quota.ReserveQuota(
            quota_pb2.ReserveQuotaRequest(items=[_ask(reservation, owner)]),
            metadata=self._metadata,
            timeout=1,
        )
        result = reserved.results[0]
        if not result.HasField("grant"):
            return JSONResponse({"error": result.refusal.reason}, status_code=429)
        upstream = await self._client.send(
            self._client.build_request("POST", self._upstream, json=body), stream=True
        )

        async def settle(usage: dict[str, int]) -> None:
            await self._quota.SettleReservations(
                quota_pb2.SettleReservationsRequest(
                    items=[_bill(reservation, owner, usage, result.grant)],
                    caller_time_ms=time.time_ns() // 1_000_000,
                ),
                metadata=self._metadata,
                timeout=1,
            )

        if not body.get("stream"):
            answer = json.loads(await upstream.aread())
            await settle(answer["usage"])
            return JSONResponse(answer, status_code=upstream.status_code)

        async def relay() -> AsyncIterator[str]:
            usage: dict[str, int] = {}
            async for line in upstream.aiter_lines():
                if line.startswith("data: {"):
                    usage = json.loads(line[6:]).get("usage") or usage
                if line:
                    yield line + "\n\n"
            await settle(usage)
            await upstream.aclose()

        return StreamingResponse(relay(), media_type="text/event-stream")


def _ask(reservation: str, owner: quota_pb2.Owner) -> quota_pb2.ReserveItem:
    return quota_pb2.ReserveItem(
        reservation_id=reservation,
        fingerprint="0" * 64,
        owner=owner,
        model=_PRICED,
        requested_model=_PRICED,
        operation="chat",
        bound=quota_pb2.TokenUsage(input_tokens=2_048, output_tokens=256),
        min_output_tokens=256,
        caller_time_ms=time.time_ns() // 1_000_000,
    )


def _bill(
    reservation: str, owner: quota_pb2.Owner, usage: dict[str, int], grant: quota_pb2.Grant
) -> quota_pb2.SettleItem:
    return quota_pb2.SettleItem(
        reservation_id=reservation,
        fingerprint="0" * 64,
        owner=owner,
        model=_PRICED,
        operation="chat",
        outcome=quota_pb2.SETTLE_OUTCOME_CHARGED,
        usage=quota_pb2.TokenUsage(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
        ),
        month=grant.month,
        admit_time_ms=grant.admit_time_ms,
    )


def main() -> None:
    port, auth, quota, upstream, token = sys.argv[1:]
    naive = Naive(auth, quota, upstream, token)
    app = Starlette(
        routes=[Route("/v1/chat/completions", naive.chat, methods=["POST"])],
        lifespan=naive.lifespan,
    )
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="asyncio",
        access_log=False,
        log_level="critical",
    )


if __name__ == "__main__":
    main()
