"""Around everything: a request id, one log line, and every refusal in the same envelope."""

import re
import time
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.errors import GatewayError
from services.common.ids import current_request, new_request_id
from services.common.logs import logger, tell
from services.edge import errors
from services.edge.cycle import CYCLE, Cycle
from services.edge.errors import ApiError
from services.edge.exchange import JSON, ClientGone, not_allowed, unknown_url
from services.edge.faults import UpstreamFailed
from services.edge.metrics import EdgeMetrics

if TYPE_CHECKING:  # an extra: not there unless it is wanted
    from services.edge.tracing import Trace, Tracing

log = logger("request")

_SLASHES = re.compile("/{2,}")
_QUIET = ("/healthz", "/readyz")


class Envelope:
    """Pure ASGI. Gives each request an id (``state["request_id"]``) and a dictionary of facts for
    its log line (``state["facts"]``); turns what handlers raise into answers. With ``tracing``, a
    span each, and headers that carry it on (``state["trace"]``)."""

    def __init__(
        self, app: ASGIApp, metrics: EdgeMetrics, tracing: "Tracing | None" = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._log = log.bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        request_id = new_request_id()
        answer = _Answer(send, request_id, scope.get(CYCLE))
        current_request.set(request_id)
        admin = scope["path"].startswith("/admin")
        facts: dict[str, Any] = {"operation": "admin" if admin else "other"}
        scope["state"] = {"request_id": request_id, "facts": facts, "trace": ()}
        trace: Trace | None = None
        if self._tracing is not None and scope["path"] not in _QUIET:
            trace = self._tracing.begin(scope["headers"])
            scope["state"]["trace"] = trace.headers
        _tidy(scope)
        self._metrics.running += 1
        try:
            await self._app(scope, receive, answer)
        except ClientGone:
            facts["outcome"] = "client_gone"
        except (ApiError, GatewayError, UpstreamFailed) as error:
            await answer.refuse(error, facts)
        except Exception as error:
            log.exception("request_failed", request_id=request_id)
            await answer.refuse(error, facts)
        finally:
            self._metrics.running -= 1
            self._done(scope, answer, facts, time.perf_counter() - began)
            if trace is not None:
                trace.end(scope["method"], answer.status, request_id, facts)

    def _done(self, scope: Scope, answer: "_Answer", facts: dict[str, Any], took: float) -> None:
        status, path = answer.status, scope["path"]
        self._metrics.finished(status, facts, took)
        if path in _QUIET:
            return
        facts["request_id"] = answer.request_id
        facts["method"] = scope["method"]
        facts["path"] = path[:256]
        facts["status"] = status
        facts["ms"] = round(took * 1_000, 1)
        tell(self._log, "request", facts)


class _Answer:
    """``send`` that adds the request id, and knows whether the answer has begun: here or past
    ASGI, by ``cycle``."""

    def __init__(self, send: Send, request_id: str, cycle: Cycle | None) -> None:
        self.request_id = request_id
        self._status = 0
        self._send = send
        self._cycle = cycle

    @property
    def status(self) -> int:
        """0 before it begins."""
        if self._status or self._cycle is None:
            return self._status
        return self._cycle.status

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = message.setdefault("headers", [])
            for name, _ in headers:
                if name == b"x-request-id":
                    break
            else:
                headers.append((b"x-request-id", self.request_id.encode()))
        await self._send(message)

    async def refuse(self, raised: Exception, facts: dict[str, Any]) -> None:
        error = _translated(raised)
        facts["refused"] = error.code or error.kind
        if self.status:
            raise raised  # half an answer is out: the connection has to break
        body = error.body()
        headers = {"content-type": JSON.decode(), "content-length": str(len(body)), **error.headers}
        raw = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await self({"type": "http.response.start", "status": error.status, "headers": raw})
        await self({"type": "http.response.body", "body": body})


def _translated(raised: Exception) -> ApiError:
    if isinstance(raised, ApiError):
        return raised
    if isinstance(raised, UpstreamFailed):
        return raised.error
    if isinstance(raised, GatewayError):
        return errors.from_gateway(raised)
    return errors.internal()


def _tidy(scope: Scope) -> None:
    """``/v1/x/`` and ``//v1//x`` mean ``/v1/x``; nothing is redirected."""
    path: str = scope["path"]
    if "//" in path:
        path = _SLASHES.sub("/", path)
    scope["path"] = path.rstrip("/") or "/"


async def http_error(request: Request, raised: Exception) -> Response:
    """What the router refuses, as one of ours."""
    assert isinstance(raised, HTTPException)
    method, path = request.method, request.url.path
    if raised.status_code == 405:
        raise not_allowed(method, path, (raised.headers or {}).get("Allow", ""))
    if raised.status_code == 404:
        raise unknown_url(method, path)
    raise errors.invalid(str(raised.detail), status=raised.status_code)
