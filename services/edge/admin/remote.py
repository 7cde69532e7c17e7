"""The admin RPCs of auth and quota, called on behalf of the operator who asked."""

import grpc

from gateway.auth.v1 import admin_pb2_grpc as auth_grpc
from gateway.quota.v1 import admin_pb2_grpc as quota_grpc
from services.common.errors import Unavailable, from_rpc
from services.edge.asking import Answer, Asked, Metadata, Rpc

ADMIN_SECONDS = 5.0
LONG_SECONDS = 60.0
"""For RPCs that read a whole journal."""


class Remote:
    """Both services. The channels belong to whoever opened them."""

    def __init__(
        self, auth: grpc.aio.Channel, quota: grpc.aio.Channel, *, service_token: str
    ) -> None:
        self.auth = auth_grpc.AuthAdminServiceStub(auth)
        self.quota = quota_grpc.QuotaAdminServiceStub(quota)
        self._service_token = service_token

    def as_operator(
        self, credential: str, *, peer: str, request_id: str, idempotency_key: str
    ) -> Metadata:
        """What auth and quota need to know: who asks (the operator), through whom (this edge) and
        from where (the client's address, by which guessing is counted)."""
        metadata = (
            ("authorization", f"Bearer {credential}"),
            ("x-gateway-service", self._service_token),
            ("x-gateway-peer", peer),
            ("x-request-id", request_id),
        )
        return (*metadata, ("idempotency-key", idempotency_key)) if idempotency_key else metadata


async def call(
    rpc: Rpc[Asked, Answer],
    request: Asked,
    metadata: Metadata,
    *,
    service: str,
    seconds: float = ADMIN_SECONDS,
) -> Answer:
    """One RPC within ``seconds``. Raises GatewayError; ``service`` names who was unavailable."""
    try:
        return await rpc(request, timeout=seconds, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        translated = from_rpc(error)
        if isinstance(translated, Unavailable):
            translated.metadata["service"] = service
        raise translated from None
