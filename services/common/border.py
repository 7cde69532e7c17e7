"""The border of a gRPC service: every call crosses these steps, in this order.

metrics (so that refusals are counted) → request id → deadline → credential → handler → errors
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import structlog

from services.common.access import Access, caller
from services.common.errors import (
    GatewayError,
    Internal,
    InvalidField,
    PermissionDenied,
    to_status,
)
from services.common.logs import logger
from services.common.metrics import Calls, RpcMetrics

log = logger("border")

Handler = Callable[[Any, Any], Awaitable[Any]]

OPEN = frozenset({"grpc.health.v1.Health"})
"""Services that answer without a credential."""

HOT = "hot"
ADMIN = "admin"
REFLECTION = "reflection"


class Border(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server.

    ``trust`` maps a full service name to who may call it: ``HOT`` needs the service token and a
    deadline, ``ADMIN`` an admin key (or the service token), ``REFLECTION`` either.
    """

    def __init__(self, access: Access, metrics: RpcMetrics, trust: Mapping[str, str]) -> None:
        self._access = access
        self._metrics = metrics
        self._trust = trust

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        service = _service(method)
        if handler is None or service in OPEN:
            return handler
        trust = self._trust.get(service, ADMIN)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._wrap(method, trust, handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.stream_stream_rpc_method_handler(
            self._wrap_stream(method, trust, handler.stream_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def around(self, method: str, inner: Callable[[Any], Awaitable[Any]], made: Any) -> Around:
        """The border around what answers each request of a stream that no gRPC server calls.
        ``made`` is the requests' class."""
        trust = self._trust.get(_service(method), ADMIN)
        return Around(self, method, trust, inner, made, self._metrics.of(method))

    def _wrap(self, method: str, trust: str, inner: Any) -> Handler:
        calls = self._metrics.of(method)

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            began = calls.begin()
            try:
                await self.admit(trust, context)
                answer = await inner(request, context)
                calls.succeed()
                log.debug("rpc", method=method)
                return answer
            except Exception as error:
                await self.fail(method, error, context)
            finally:
                calls.end(began)
                structlog.contextvars.unbind_contextvars("request_id")

        return call

    def _wrap_stream(self, method: str, trust: str, inner: Any) -> Any:
        """Each request is counted as a call of its own, up to its one answer."""
        calls = self._metrics.of(method)

        async def call(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            began: float | None = None

            async def arriving() -> Any:
                nonlocal began
                async for request in requests:
                    began = calls.begin()
                    yield request

            def ended() -> None:
                nonlocal began
                if began is not None:
                    calls.end(began)
                    began = None

            try:
                await self.admit(trust, context)
                async for answer in inner(arriving(), context):
                    calls.succeed()
                    ended()
                    yield answer
            except Exception as error:
                await self.fail(method, error, context)
            finally:
                ended()
                structlog.contextvars.unbind_contextvars("request_id")

        return call

    async def admit(self, trust: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Raises GatewayError for a caller that may not."""
        metadata = {
            str(key): value if isinstance(value, str) else value.decode("latin-1")
            for key, value in context.invocation_metadata() or ()
        }
        if "x-request-id" in metadata:
            structlog.contextvars.bind_contextvars(request_id=metadata["x-request-id"])
        if trust == HOT and context.time_remaining() is None:
            raise InvalidField("deadline", "must be set", reason="DEADLINE_MISSING")
        found = await self._access.identify(metadata, context.peer())
        if trust == HOT and not found.service:
            raise PermissionDenied("This RPC is for the gateway's own processes")
        caller.set(found)

    async def fail(
        self, method: str, error: Exception, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Ends the call with what the error is to its caller."""
        if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
            raise error
        if not isinstance(error, GatewayError):
            log.exception("handler_failed", method=method, exc_info=error)
            error = _internal(error)
        await self._refuse(method, error, context)

    async def _refuse(
        self, method: str, error: GatewayError, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        self._metrics.calls.add(method, error.reason)
        if error.__cause__ is None:
            log.info("rpc_refused", method=method, reason=error.reason)
        else:
            cause = repr(error.__cause__)
            log.warning("rpc_refused", method=method, reason=error.reason, cause=cause)
        status = to_status(error)
        await context.abort(
            status.code,
            status.details,
            # Our refusals are final for this attempt: gRPC must not repeat them by itself.
            (*status.trailing_metadata, ("grpc-retry-pushback-ms", "-1")),
        )


class Around:
    """One stream-stream RPC by bytes; each request is counted as a call of its own."""

    def __init__(
        self,
        border: Border,
        method: str,
        trust: str,
        inner: Callable[[Any], Awaitable[Any]],
        made: Any,
        calls: Calls,
    ) -> None:
        self._border = border
        self._method = method
        self._trust = trust
        self._inner = inner
        self._made = made
        self._calls = calls

    async def admit(self, context: Any) -> bool:
        """Whether the caller may send requests; else the call has ended."""
        try:
            await self._border.admit(self._trust, context)
        except Exception as error:
            await self._border.fail(self._method, error, context)
            return False
        return True

    async def answer(self, request: bytes, context: Any) -> bytes | None:
        """The answer; None where the call has ended without one."""
        began = self._calls.begin()
        try:
            answer = await self._inner(self._made.FromString(request))
        except Exception as error:
            await self._border.fail(self._method, error, context)
            return None
        finally:
            self._calls.end(began)
        self._calls.succeed()
        encoded: bytes = answer.SerializeToString()
        return encoded


def _service(method: str) -> str:
    return method.rpartition("/")[0].lstrip("/")


def _internal(cause: Exception) -> Internal:
    error = Internal("The server had an error; its log has the cause under the request id")
    error.__cause__ = cause
    return error
