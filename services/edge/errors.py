"""What the edge says when it says no: one exception, one envelope, one table.

Whatever answers instead of an upstream is an ``ApiError``. Errors of auth and quota become one
here, by their reason; refusals of the ledger in ``refusals``, failures of upstreams in ``faults``.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.common.errors import GatewayError


class ApiError(Exception):
    """An answer in OpenAI's envelope. ``headers`` are lower-case names and latin-1 values."""

    def __init__(
        self,
        status: int,
        kind: str,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def envelope(self) -> dict[str, Any]:
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def body(self) -> bytes:
        return orjson.dumps(self.envelope())


INVALID = "invalid_request_error"
SERVER = "server_error"


def invalid(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400
) -> ApiError:
    """The client's mistake."""
    return ApiError(status, INVALID, code, message, param=param)


def head_too_large() -> ApiError:
    return ApiError(
        431, INVALID, "request_header_fields_too_large", "The request's headers are too large."
    )


def too_slow() -> ApiError:
    return ApiError(408, INVALID, "request_timeout", "The request did not arrive in time.")


def overloaded() -> ApiError:
    return ApiError(503, SERVER, "overloaded", "The gateway has too many connections.")


def missing_key() -> ApiError:
    return ApiError(
        401,
        INVALID,
        None,
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        headers={"www-authenticate": "Bearer"},
    )


def wrong_key() -> ApiError:
    """The same for a key that is malformed, unknown, expired or revoked."""
    return ApiError(
        401,
        INVALID,
        "invalid_api_key",
        "Incorrect API key provided. Ask your administrator for a key of this gateway.",
        headers={"www-authenticate": "Bearer"},
    )


def too_many_wrong_keys() -> ApiError:
    return ApiError(
        429,
        "requests",
        "rate_limit_exceeded",
        "Too many wrong API keys from your address. Please try again in 30s.",
        headers={"retry-after": "30"},
    )


def suspended(scope: str) -> ApiError:
    """``scope`` is ``user`` or ``org``; auth and the ledger both may say so."""
    who = "organisation" if scope == "org" else "user"
    return ApiError(
        403,
        INVALID,
        f"{'org' if scope == 'org' else 'user'}_suspended",
        f"This {who} is suspended. Ask your administrator.",
        headers={"x-should-retry": "false"},
    )


def unknown_model(model: str) -> ApiError:
    return invalid(
        f"The model `{model[:256]}` does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
        status=404,
    )


def wrong_api(model: str, api: str) -> ApiError:
    return invalid(
        f"The model `{model[:256]}` is not offered for {api}. The administrator can offer it "
        f'in the catalog: [[models]] match = "{model[:256]}", apis = ["{api}"], with its prices.',
        param="model",
        code="model_not_priced",
    )


def unavailable(service: str) -> ApiError:
    """auth or quota cannot decide; waiting helps."""
    return ApiError(
        503,
        SERVER,
        f"{service}_unavailable",
        f"The gateway's {service} service cannot answer right now; the request was not sent to "
        "the provider. Please try again.",
        headers={"retry-after": str(1 + secrets.randbelow(3))},
    )


def internal() -> ApiError:
    return ApiError(
        500,
        SERVER,
        None,
        "The server had an error while processing your request. Its log has the cause under the "
        "request id.",
    )


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    kind: str
    code: str | None


_TABLE = {
    "CREDENTIAL_INVALID": _Row(500, SERVER, None),
    "PERMISSION_DENIED": _Row(403, INVALID, "permission_denied"),
    "FIELD_INVALID": _Row(400, INVALID, None),
    "RESOURCE_NOT_FOUND": _Row(404, INVALID, "not_found"),
    "PRECONDITION_FAILED": _Row(409, INVALID, "precondition_failed"),
}


def from_gateway(error: GatewayError) -> ApiError:
    """The answer to an error of auth or quota, by its reason."""
    match error.reason:
        case "API_KEY_INVALID":
            return wrong_key()
        case "SUSPENDED":
            return suspended(error.metadata.get("scope", ""))
        case "STORE_UNAVAILABLE" | "CLOCK_SKEW":
            return unavailable(error.metadata.get("service", "quota"))
        case "MODEL_NOT_FOUND":
            return unknown_model(error.metadata.get("model", ""))
        case reason if reason in _TABLE:
            row = _TABLE[reason]
            if row.status >= 500:
                return internal()
            return ApiError(
                row.status, row.kind, row.code, error.message, param=error.metadata.get("field")
            )
        case _:
            return internal()
