"""The way in: who is calling, and may it cost what it can cost."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.quota.v1 import quota_pb2
from services.common import secret
from services.common.errors import GatewayError, Unauthenticated, Unavailable
from services.edge import errors
from services.edge.bounds import Bound
from services.edge.breaker import NotAsked
from services.edge.catalog import Target
from services.edge.clients import QuotaClient
from services.edge.credential import presented_key
from services.edge.exchange import Exchange
from services.edge.grace import FAIL_OPEN, Grace
from services.edge.hold import Hold, released, reserve_item
from services.edge.openai import ROUTING, Ask
from services.edge.principal import Principal
from services.edge.principals import Principals, allowed
from services.edge.refusals import from_refusal, rate_headers

MAX_WRONG_KEYS = 20
_WINDOW_SECONDS = 60.0
_MAX_PEERS = 10_000


class Caller(NamedTuple):
    principal: Principal
    key_hash: str


class Admission:
    """Identifies callers and reserves for them."""

    def __init__(
        self,
        principals: Principals,
        quota: QuotaClient,
        grace: Grace,
        *,
        exhausted_status: int = 429,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exhausted_status = exhausted_status
        self._principals = principals
        self._quota = quota
        self._grace = grace
        self._wrong = _Failures(clock)

    async def identify(self, exchange: Exchange) -> Caller:
        """Who presents the key. Raises ApiError 401, 429 for an address that guesses, 503."""
        head = exchange.head
        digest = head.credential if head is not None else ""
        try:
            principal = self._principals.known(digest) if digest else None
            if principal is None:
                key = presented_key(exchange.headers)
                digest = secret.digest(key)
                principal = self._principals.known(digest)
            if principal is None:
                _require_well_formed(key)
                principal = await self._principals.find(digest)
            if head is not None:
                head.credential = digest
        except errors.ApiError as error:
            raise self._counted(error, exchange.peer) from None
        except Unauthenticated:
            raise self._counted(errors.wrong_key(), exchange.peer) from None
        except Unavailable as error:
            raise errors.unavailable("auth") from error
        _check_query(exchange.query)
        facts = exchange.facts
        facts["org"], facts["user"] = principal.org_id, principal.user_id
        facts["key"] = principal.key_id
        return Caller(principal, digest)

    async def reserve(
        self,
        caller: Caller,
        ask: Ask,
        target: Target,
        bound: Bound,
        *,
        operation: str,
        request_id: str,
    ) -> tuple[Hold, Principal]:
        """Hold the most the request can cost. Answers with the principal as the ledger knows it.
        Raises ApiError."""
        item = reserve_item(
            caller.principal, ask, target, bound, operation=operation, request_id=request_id
        )
        try:
            result = await self._quota.reserve(item)
            _require_decision(result)
        except NotAsked as error:
            return await self._undecided(caller, item, bound, error)
        except Unavailable as error:
            return await self._undecided(caller, item, bound, error, asked=True)
        except BaseException:
            self._grace.submit(released(item))
            raise
        headers = rate_headers(result)
        if result.HasField("refusal"):
            refused = from_refusal(result.refusal, ask.model, target.model)
            refused.headers = {**headers, **refused.headers}
            if refused.code == "insufficient_quota":
                refused.status = self._exhausted_status
            raise refused
        self._grace.see(caller.principal, target.model)
        hold = Hold(item, result.grant, bound, target.model, headers)
        if result.revision in (0, caller.principal.revision):
            return hold, caller.principal
        return hold, await self._renewed(caller)

    async def _undecided(
        self,
        caller: Caller,
        item: quota_pb2.ReserveItem,
        bound: Bound,
        error: GatewayError,
        *,
        asked: bool = False,
    ) -> tuple[Hold, Principal]:
        """The ledger did not answer: this edge's fail-open share pays, or nothing is admitted and
        what the ledger may have held is let go."""
        try:
            if caller.principal.failure_mode != FAIL_OPEN:
                raise errors.unavailable("quota") from error
            return await self._on_a_share(caller, item, bound, error)
        except BaseException:
            if asked:
                self._grace.submit(released(item))
            raise

    async def _on_a_share(
        self, caller: Caller, item: quota_pb2.ReserveItem, bound: Bound, error: GatewayError
    ) -> tuple[Hold, Principal]:
        try:
            principal = await self._principals.recent(caller.key_hash)
        except Unauthenticated:
            raise errors.wrong_key() from None
        except Unavailable:
            raise errors.unavailable("auth") from error
        if not allowed(principal, item.requested_model, item.model):
            raise errors.unknown_model(item.requested_model)
        grant = await self._grace.admit(principal, item)
        if grant is None:
            raise errors.unavailable("quota") from error
        headers = {"x-gateway-grace": "true"}
        return Hold(item, grant, bound, item.model, headers, self._grace.edge_id), principal

    async def _renewed(self, caller: Caller) -> Principal:
        """The principal, asked for again: the ledger knows a newer one."""
        try:
            return await self._principals.refresh(caller.key_hash)
        except GatewayError:
            return caller.principal  # admitted all the same; only its details may be old

    def _counted(self, error: errors.ApiError, peer: str) -> errors.ApiError:
        if error.code != "invalid_api_key":
            return error
        return errors.too_many_wrong_keys() if self._wrong.add(peer) > MAX_WRONG_KEYS else error


def _require_well_formed(key: str) -> None:
    """A malformed key is recognised without asking anybody. Raises ApiError 401."""
    if not secret.well_formed(key):
        raise errors.wrong_key()


def _require_decision(result: quota_pb2.ReserveResult) -> None:
    """A skewed clock decides nothing; nor does a reservation that is over already. Raises
    Unavailable."""
    told = result.WhichOneof("outcome")
    if told == "refusal" and result.refusal.reason in _UNDECIDED:
        raise Unavailable("the ledger cannot decide", reason=result.refusal.reason)
    if told == "grant" and result.grant.state not in _LIVE:
        raise Unavailable("the reservation is over before it began")


_UNDECIDED = ("CLOCK_SKEW", "STORE_UNAVAILABLE")
_LIVE = (quota_pb2.RESERVATION_STATE_RESERVED, quota_pb2.RESERVATION_STATE_UNSPECIFIED)


class _Failures:
    """Wrong keys by address within the last minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, peer: str) -> int:
        now = self._clock()
        times = self._times.setdefault(peer, deque(maxlen=MAX_WRONG_KEYS + 1))
        self._times.move_to_end(peer)
        times.append(now)
        while times[0] <= now - _WINDOW_SECONDS:
            times.popleft()
        while len(self._times) > _MAX_PEERS:
            self._times.popitem(last=False)
        return len(times)


def _check_query(query: bytes) -> None:
    """Addresses and credentials are not the caller's to choose, in a query either."""
    for pair in query.split(b"&") if query else ():
        name = pair.partition(b"=")[0].decode("latin-1").lower()
        if name in ROUTING and name != "api_version":
            raise errors.invalid(
                f"Unsupported parameter: '{name}'.", param=name, code="unsupported_parameter"
            )
