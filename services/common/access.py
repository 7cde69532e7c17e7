"""Who may call: the service token for hot RPCs, admin keys for people.

A right credential is admitted at once, whoever else guesses from the same address: behind a
balancer many people have one. A wrong one is slowed: after ``MAX_FAILURES`` of a peer within a
minute, each further one waits before it is refused, and is told apart.
"""

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from services.common import keys, secret
from services.common.errors import Exhausted, PermissionDenied, Unauthenticated
from services.common.kv import Kv, kv_errors

MAX_FAILURES = 10
WINDOW_SECONDS = 60.0
SLOW_SECONDS = 1.0
MAX_SLOWED = 1_000
"""Waiting costs memory: of more at once, the rest is refused without."""

RESERVED_NAMES = ("admin", "service", "auth", "quota")
"""Who ADMIN_API_KEY, the service token and the services are in the audit trail; no admin key may be
called so."""

_MAX_PEERS = 10_000
_GUESSING = "Too many wrong credentials from your address, and this one is wrong, too"
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


OnBurst = Callable[[str, int], Awaitable[None]]
"""Told the peer and its number of failures, once for each burst of them."""


class Access:
    """Identifies callers by their ``authorization`` metadata. ``admin_key`` and ``service_token``
    may be several with commas, so that one can take the other's place without an outage."""

    def __init__(
        self,
        kv: Kv,
        *,
        admin_key: str,
        service_token: str,
        on_burst: OnBurst | None = None,
        clock: Callable[[], float] = time.monotonic,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self._kv = kv
        self._admin = _digests(admin_key)
        self._service = _digests(service_token)
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._bursts: OrderedDict[str, float] = OrderedDict()
        self._on_burst = on_burst
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._slowed = 0

    async def identify(self, metadata: dict[str, str], peer: str) -> Caller:
        """The caller. Raises Unauthenticated, or Exhausted for a peer that guesses. The edge names
        the peer behind it in ``x-gateway-peer`` and proves itself by ``x-gateway-service``."""
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        if self._is_service(token):
            return _told("service", "", metadata, service=True)
        found = await self._find(token, metadata)
        if found is not None:
            return found
        peer = _host(peer)
        if self._is_service(metadata.get("x-gateway-service", "")):
            peer = metadata.get("x-gateway-peer", peer)
        raise await self._refusal(peer)

    async def _find(self, token: str, metadata: dict[str, str]) -> Caller | None:
        digest = hashlib.sha256(token.encode()).digest()
        if _is_one_of(digest, self._admin):
            return _told("admin", "", metadata)
        if not (token.startswith(secret.ADMIN_KEY) and secret.well_formed(token)):
            return None
        with kv_errors():
            row = await self._kv.hgetall(keys.admin_key(digest.hex()))
        if row.get("status") != "active":
            return None
        return _told(str(row["name"]), str(row.get("org", "")), metadata)

    def _is_service(self, token: str) -> bool:
        return _is_one_of(hashlib.sha256(token.encode()).digest(), self._service)

    async def _refusal(self, peer: str) -> Unauthenticated | Exhausted:
        """Counts one more wrong credential of ``peer``; beyond the limit it waits for a while."""
        now = self._clock()
        times = self._failures.setdefault(peer, deque(maxlen=MAX_FAILURES))
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        beyond = len(times) == MAX_FAILURES
        times.append(now)
        self._failures.move_to_end(peer)
        while len(self._failures) > _MAX_PEERS:
            self._failures.popitem(last=False)
        if len(times) == MAX_FAILURES and self._on_burst and self._begins(peer):
            await self._on_burst(peer, MAX_FAILURES)
        if not beyond:
            return Unauthenticated(_NOT_YOU)
        wait = int((times[0] + WINDOW_SECONDS - now) * 1000) + 1
        if self._slowed < MAX_SLOWED:
            self._slowed += 1
            try:
                await asyncio.sleep(self._slow_seconds)
            finally:
                self._slowed -= 1
        return Exhausted(_GUESSING, reason="TOO_MANY_ATTEMPTS", retry_after_ms=max(wait, 1))

    def _begins(self, peer: str) -> bool:
        """Whether this is a new burst; one lasts until its peer was below the limit for a while."""
        now = self._clock()
        before = self._bursts.pop(peer, None)
        self._bursts[peer] = now
        while len(self._bursts) > _MAX_PEERS:
            self._bursts.popitem(last=False)
        return before is None or now - before > 2 * WINDOW_SECONDS


def _digests(secrets: str) -> tuple[bytes, ...]:
    return tuple(
        hashlib.sha256(one.strip().encode()).digest() for one in secrets.split(",") if one.strip()
    )


def _is_one_of(digest: bytes, known: tuple[bytes, ...]) -> bool:
    # Every one is compared, so that the time tells nothing.
    return sum(hmac.compare_digest(digest, one) for one in known) > 0


def _told(name: str, org: str, metadata: dict[str, str], *, service: bool = False) -> Caller:
    return Caller(
        name=name,
        org=org,
        service=service,
        request_id=metadata.get("x-request-id", ""),
        idempotency_key=metadata.get("idempotency-key", ""),
    )


def _host(peer: str) -> str:
    """A gRPC peer without its port: each new connection has another one."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
