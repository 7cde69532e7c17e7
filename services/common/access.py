"""Who may call: the service token for hot RPCs, admin keys for people.

Guessing is slowed per peer: after ``MAX_FAILURES`` wrong credentials within a minute, further
attempts of that peer are refused without a look at the credential.
"""

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from services.common import keys
from services.common.errors import Exhausted, PermissionDenied, Unauthenticated
from services.common.kv import Kv, kv_errors

MAX_FAILURES = 10
WINDOW_SECONDS = 60.0
_MAX_PEERS = 10_000
_NOT_YOU = "Missing or wrong credential: send `authorization: Bearer <admin key>` metadata"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is behind an RPC. ``org`` is empty for the platform; ``service`` is true for our own
    processes, which present the service token."""

    name: str
    org: str = ""
    service: bool = False
    request_id: str = ""
    idempotency_key: str = ""

    def may_see(self, org: str) -> bool:
        """Whether this caller may know that ``org`` exists."""
        return not self.org or self.org == org

    def require_platform(self) -> None:
        """Raises PermissionDenied for a caller bound to one organisation."""
        if self.org:
            raise PermissionDenied("This admin key is bound to one organisation")


caller: ContextVar[Caller] = ContextVar("caller")
"""Set by the border interceptor for the RPC that is running."""


class Access:
    """Identifies callers by their ``authorization`` metadata."""

    def __init__(
        self,
        kv: Kv,
        *,
        admin_key: str,
        service_token: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kv = kv
        self._admin = hashlib.sha256(admin_key.encode()).digest()
        self._service = hashlib.sha256(service_token.encode()).digest()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._clock = clock

    async def identify(self, metadata: dict[str, str], peer: str) -> Caller:
        """The caller. Raises Unauthenticated, or Exhausted for a peer that guesses. The edge names
        the peer behind it in ``x-gateway-peer`` and proves itself by ``x-gateway-service``."""
        if self._is_service(metadata.get("x-gateway-service", "")):
            peer = metadata.get("x-gateway-peer", peer)
        failures = self._recent(peer)
        if failures is not None and len(failures) >= MAX_FAILURES:
            wait = int((failures[0] + WINDOW_SECONDS - self._clock()) * 1000) + 1
            raise Exhausted(
                "Too many wrong credentials; try again later",
                reason="TOO_MANY_ATTEMPTS",
                retry_after_ms=max(wait, 1),
            )
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        found = await self._find(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            self._fail(peer)
            raise Unauthenticated(_NOT_YOU)
        return Caller(
            name=found.name,
            org=found.org,
            service=found.service,
            request_id=metadata.get("x-request-id", ""),
            idempotency_key=metadata.get("idempotency-key", ""),
        )

    async def _find(self, token: str) -> Caller | None:
        digest = hashlib.sha256(token.encode()).digest()
        if hmac.compare_digest(digest, self._service):
            return Caller("service", service=True)
        if hmac.compare_digest(digest, self._admin):
            return Caller("admin")
        if not token.startswith("gw_admin_"):
            return None
        with kv_errors():
            row = await self._kv.hgetall(keys.admin_key(digest.hex()))
        if row.get("status") != "active":
            return None
        return Caller(str(row["name"]), org=str(row.get("org", "")))

    def _is_service(self, token: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._service)

    def _recent(self, peer: str) -> deque[float] | None:
        times = self._failures.get(peer)
        if times is None:
            return None
        while times and times[0] <= self._clock() - WINDOW_SECONDS:
            times.popleft()
        if not times:
            del self._failures[peer]
            return None
        return times

    def _fail(self, peer: str) -> None:
        times = self._failures.setdefault(peer, deque(maxlen=MAX_FAILURES))
        times.append(self._clock())
        self._failures.move_to_end(peer)
        while len(self._failures) > _MAX_PEERS:
            self._failures.popitem(last=False)
