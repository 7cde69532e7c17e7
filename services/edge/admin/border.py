"""The border of the admin API: who asks, what may go wrong, in the words of HTTP.

credential → identity (auth) → handler → the error envelope
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.v1 import admin_pb2
from gateway.quota.v1 import admin_pb2 as quota_pb2
from services.common.errors import GatewayError, InvalidField, NotFound, Unauthenticated
from services.common.keys import is_id
from services.edge.admin.fields import json_name
from services.edge.admin.refusal import unprocessable
from services.edge.admin.remote import ADMIN_SECONDS, Remote, call
from services.edge.asking import Answer, Asked, Metadata, Rpc
from services.edge.errors import INVALID, SERVER, ApiError, internal, invalid

_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
_IDEMPOTENCY = re.compile(r"[\x21-\x7e]{1,255}")
_API_KEY_PREFIX = "gw_live_"
_SERVICE = "service"
"""The name under which auth knows the service token; no admin key can have it."""

_WRONG = "The admin key is wrong, or was revoked"

_STATUS = {
    "PERMISSION_DENIED": (403, "permission_denied"),
    "SUSPENDED": (403, "suspended"),
    "FIELD_INVALID": (422, "invalid_value"),
    "RESOURCE_NOT_FOUND": (404, "not_found"),
    "MODEL_NOT_FOUND": (404, "model_not_found"),
    "RESOURCE_EXISTS": (409, "already_exists"),
    "PRECONDITION_FAILED": (409, "precondition_failed"),
    "IDEMPOTENCY_CONFLICT": (409, "idempotency_conflict"),
    "TOO_MANY_ATTEMPTS": (429, "too_many_attempts"),
}
_NAMED_BY = {
    "organization": "org_id",
    "user": "user_id",
    "api_key": "key_id",
    "admin_key": "admin_key_id",
    "provider_key": "provider",
}
"""Resources and the fields that name them."""

_UNAVAILABLE_REASONS = ("STORE_UNAVAILABLE", "CLOCK_SKEW")


@dataclass(frozen=True, slots=True)
class Ask:
    """One admitted admin request."""

    request: Request
    remote: Remote
    metadata: Metadata
    identity: admin_pb2.AdminIdentity

    async def auth(
        self, rpc: Rpc[Asked, Answer], request: Asked, seconds: float = ADMIN_SECONDS
    ) -> Answer:
        return await call(rpc, request, self.metadata, service="auth", seconds=seconds)

    async def quota(
        self, rpc: Rpc[Asked, Answer], request: Asked, seconds: float = ADMIN_SECONDS
    ) -> Answer:
        return await call(rpc, request, self.metadata, service="quota", seconds=seconds)

    def id(self, name: str) -> str:
        """An id out of the path. What cannot be an id is unknown, like any other."""
        value = str(self.request.path_params[name])
        if not is_id(value):
            raise NotFound(f"{name} {value[:64]!r} is unknown", metadata={"resource": name})
        return value


Handler = Callable[[Ask], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Border:
    """Turns handlers into Starlette endpoints."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def guard(self, methods: dict[str, Handler], *, anyone_up: bool = False) -> Endpoint:
        """An endpoint that admits operators only, with a handler for each method. ``anyone_up``
        lets quota identify the caller while auth is away, for the routes that tell what is up."""

        async def endpoint(request: Request) -> Response:
            try:
                ask = await self._admit(request, anyone_up)
                method = "GET" if request.method == "HEAD" else request.method
                response = await methods[method](ask)
            except GatewayError as error:
                raise _private(_translate(error)) from error
            except ApiError as refused:
                raise _private(refused) from None
            response.headers["cache-control"] = "no-store"
            return response

        return endpoint

    async def _admit(self, request: Request, anyone_up: bool) -> Ask:
        peer = request.client.host if request.client else "unknown"
        metadata = self._remote.as_operator(
            _credential(request),
            peer=peer,
            request_id=request.state.request_id,
            idempotency_key=_idempotency_key(request),
        )
        identity = await self._identify(metadata, anyone_up)
        if identity.name == _SERVICE:
            # It opens every door inside; from outside it is as wrong as any other text.
            raise _unknown_caller(_WRONG)
        request.state.facts["admin"] = identity.name
        return Ask(request, self._remote, metadata, identity)

    async def _identify(self, metadata: Metadata, anyone_up: bool) -> admin_pb2.AdminIdentity:
        try:
            return await call(
                self._remote.auth.GetAdminIdentity,
                admin_pb2.GetAdminIdentityRequest(),
                metadata,
                service="auth",
            )
        except GatewayError as error:
            if not anyone_up or error.reason not in _UNAVAILABLE_REASONS:
                raise
        return await self._identify_by_quota(metadata)

    async def _identify_by_quota(self, metadata: Metadata) -> admin_pb2.AdminIdentity:
        """Quota knows the same credentials; that it answers at all is the identification."""
        rpc = self._remote.quota.GetMetrics
        await call(rpc, quota_pb2.GetMetricsRequest(), metadata, service="quota")
        return admin_pb2.AdminIdentity()


def _credential(request: Request) -> str:
    """The operator's key. Raises ApiError: 401 without one, 403 for a key holder's."""
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise invalid(
            "Send one Authorization header only", param="authorization", code="duplicate_credential"
        )
    scheme, _, token = (given[0] if given else "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
        raise _unknown_caller("Send the admin key as `Authorization: Bearer ADMIN_API_KEY`")
    if token.startswith(_API_KEY_PREFIX):
        raise invalid("An API key may not use the admin API", code="permission_denied", status=403)
    return token


def _idempotency_key(request: Request) -> str:
    value = request.headers.get("idempotency-key", "")
    if "idempotency-key" in request.headers and not _IDEMPOTENCY.fullmatch(value):
        raise unprocessable("idempotency-key", "must have 1 to 255 visible ASCII characters")
    return value


def _unknown_caller(message: str) -> ApiError:
    refused = invalid(message, code="invalid_api_key", status=401)
    refused.headers["www-authenticate"] = "Bearer"
    return refused


def _private(refused: ApiError) -> ApiError:
    refused.headers.setdefault("cache-control", "no-store")
    return refused


def _translate(error: GatewayError) -> ApiError:
    """A refusal of auth or quota, in the words of HTTP: the one table of this border."""
    if error.reason in _UNAVAILABLE_REASONS:
        return _unavailable(error)
    if isinstance(error, Unauthenticated):
        return _unknown_caller(_WRONG)
    if error.reason not in _STATUS:
        return internal()
    status, code = _STATUS[error.reason]
    param = error.metadata.get("field") or error.metadata.get("resource")
    message = error.message
    if isinstance(error, InvalidField):
        param = json_name(error.field)
        message = f"{param} {error.problem}"
    elif param:
        param = json_name(_NAMED_BY.get(param, param))
    refused = ApiError(status, "requests" if status == 429 else INVALID, code, message, param=param)
    if error.retry_after_ms is not None:
        refused.headers["retry-after"] = str(max(1, -(-error.retry_after_ms // 1_000)))
    return refused


def _unavailable(error: GatewayError) -> ApiError:
    """Waiting helps. A write may have been done all the same, so its repetition needs the key."""
    service = error.metadata.get("service", "auth")
    return ApiError(
        503,
        SERVER,
        f"{service}_unavailable",
        f"The {service} service cannot answer at the moment. Try again; repeat a write with the "
        "same Idempotency-Key",
        headers={"retry-after": "1"},
    )
