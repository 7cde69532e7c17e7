"""The closed list of errors, and their one translation to and from gRPC.

GatewayError                 code, reason, message for outside, metadata, retry_after_ms
├── Unauthenticated          API_KEY_INVALID, CREDENTIAL_INVALID
├── PermissionDenied         PERMISSION_DENIED, SUSPENDED
├── InvalidField             FIELD_INVALID, with a field path
├── NotFound                 RESOURCE_NOT_FOUND, MODEL_NOT_FOUND
├── AlreadyExists            RESOURCE_EXISTS
├── PreconditionFailed       PRECONDITION_FAILED, MODEL_NOT_PRICED
├── Conflict                 IDEMPOTENCY_CONFLICT
├── Exhausted                BUDGET_EXHAUSTED, BUDGET_HELD, RATE_LIMITED, TOO_MANY_ATTEMPTS
├── Unavailable              STORE_UNAVAILABLE, CLOCK_SKEW; waiting helps
│   └── Unanswered           of a call that nobody answered
└── Internal                 INTERNAL; the log has the cause

Handlers raise these; only the border interceptor turns them into a status, and only a client
wrapper turns a status back.
"""

from typing import ClassVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "gateway"


class GatewayError(Exception):
    """One refusal. ``message`` is for the caller; causes belong in the log."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: dict[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata or {}
        self.retry_after_ms = retry_after_ms


class Unauthenticated(GatewayError):
    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "CREDENTIAL_INVALID"


class PermissionDenied(GatewayError):
    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class InvalidField(GatewayError):
    """``field`` is the path as the caller spelled it; ``problem`` completes "<field> …"."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "FIELD_INVALID"

    def __init__(self, field: str, problem: str, *, reason: str | None = None) -> None:
        super().__init__(f"{field} {problem}", reason=reason, metadata={"field": field})
        self.field = field
        self.problem = problem


class NotFound(GatewayError):
    code = grpc.StatusCode.NOT_FOUND
    default_reason = "RESOURCE_NOT_FOUND"


class AlreadyExists(GatewayError):
    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "RESOURCE_EXISTS"


class PreconditionFailed(GatewayError):
    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "PRECONDITION_FAILED"


class Conflict(GatewayError):
    code = grpc.StatusCode.ABORTED
    default_reason = "IDEMPOTENCY_CONFLICT"


class Exhausted(GatewayError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "BUDGET_EXHAUSTED"


class Unavailable(GatewayError):
    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "STORE_UNAVAILABLE"


class Unanswered(Unavailable):
    """Of a call: nobody said anything (a dead peer, a passed deadline)."""


class Internal(GatewayError):
    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


_CLASSES: dict[grpc.StatusCode, type[GatewayError]] = {
    cls.code: cls
    for cls in (
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        PreconditionFailed,
        Conflict,
        Exhausted,
        Unavailable,
        Internal,
    )
}


def to_status(error: GatewayError) -> grpc.Status:
    """The gRPC status of an error: exactly one ErrorInfo, and BadRequest or RetryInfo where they
    say something."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    packed = [_pack(info)]
    if isinstance(error, InvalidField):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.problem
        )
        packed.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        packed.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    number = code_pb2.Code.Value(error.code.name)
    return rpc_status.to_status(
        status_pb2.Status(code=number, message=error.message, details=packed)
    )


def from_rpc(error: grpc.aio.AioRpcError) -> GatewayError:
    """The error a peer raised. What carries no ErrorInfo of ours is Unanswered."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        for message in (info, retry, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    if info.domain != DOMAIN:
        return Unanswered(f"{error.code().name}: {error.details()}")
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        violation = bad.field_violations[0] if bad.field_violations else None
        field = violation.field if violation else info.metadata.get("field", "request")
        problem = violation.description if violation else error.details() or "is invalid"
        return InvalidField(field, problem, reason=info.reason)
    cls = _CLASSES.get(error.code(), Internal)
    retry_ms = retry.retry_delay.ToMilliseconds() if retry.HasField("retry_delay") else None
    return cls(
        error.details() or info.reason,
        reason=info.reason,
        metadata=dict(info.metadata),
        retry_after_ms=retry_ms,
    )


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
