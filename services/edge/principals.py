"""Who is behind a key, remembered for a moment.

A cached principal identifies; the ledger admits, with status and limits of the moment. So a stale
entry is never a way in, and a revision newer than ours throws it out. While auth does not answer,
whoever it verified within the last minutes is still known; nobody else is.
"""

import asyncio
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple

from services.common.errors import GatewayError, Unauthenticated, Unavailable
from services.edge.breaker import Breaker
from services.edge.clients import AuthClient
from services.edge.principal import Principal

POSITIVE_SECONDS = 60.0
NEGATIVE_SECONDS = 10.0
STALE_SECONDS = 300.0
RECENT_SECONDS = 5.0
PATIENCE_SECONDS = 0.05
JITTER = 0.1
MOST = 20_000


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal | None
    until: float
    verified: float


class _Question(NamedTuple):
    task: asyncio.Task[Principal]
    began: float


class Principals:
    """Principals by the hash of their key. Concurrent questions about one key are one question."""

    def __init__(
        self,
        auth: AuthClient,
        *,
        most: int = MOST,
        stale_seconds: float = STALE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._most = most
        self._stale_seconds = stale_seconds
        self._breaker = Breaker("auth", clock=clock)
        self._clock = clock
        self._wall = wall
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._asking: dict[str, _Question] = {}
        self._credentials: OrderedDict[tuple[str, str, int], tuple[str, float]] = OrderedDict()

    def known(self, key_hash: str) -> Principal | None:
        """The principal, where nobody need be asked; None otherwise. Raises as ``find``."""
        entry = self._entries.get(key_hash)
        if entry is None or entry.until <= self._clock():
            return None
        self._entries.move_to_end(key_hash)
        return self._checked(entry.principal)

    async def find(self, key_hash: str) -> Principal:
        """The principal. Raises Unauthenticated for a key that is unknown, revoked or expired, and
        Unavailable when that cannot be said."""
        return self.known(key_hash) or await self._known(key_hash)

    async def refresh(self, key_hash: str) -> Principal:
        """The principal as it is now; while auth is away, as it was."""
        if self._breaker.open:
            return await self._known(key_hash)
        return self._checked(await self._ask(key_hash))

    async def recent(self, key_hash: str) -> Principal:
        """The principal as of a few seconds ago, or as of the time when auth went away. For who is
        not going to be seen by the ledger."""
        entry = self._entries.get(key_hash)
        if entry is not None and entry.verified > self._clock() - RECENT_SECONDS:
            return self._checked(entry.principal)
        return await self._known(key_hash)

    async def _known(self, key_hash: str) -> Principal:
        """What auth says, or said a while ago if it does not answer."""
        entry = self._entries.get(key_hash)
        since = self._clock() - self._stale_seconds
        usable = entry is not None and entry.principal is not None and entry.verified >= since
        if not self._breaker.open:
            task = self._start(key_hash)
            if usable and (patience := self._patience()) > 0:
                await asyncio.wait({task}, timeout=patience)
            if not usable or task.done():
                try:
                    return self._checked(await asyncio.shield(task))
                except Unavailable:
                    pass
        elif self._breaker.probe_due():
            self._start(key_hash)
        if entry is None or not usable:
            raise Unavailable("auth does not answer", metadata={"service": "auth"})
        return self._checked(entry.principal)

    def _patience(self) -> float:
        """The ledger decides: nobody waits long to be known again, nor behind a question that has
        waited so long already."""
        oldest = next(iter(self._asking.values()))
        return oldest.began + PATIENCE_SECONDS - self._clock()

    async def credential(self, principal: Principal, provider: str) -> str:
        """The organisation's own key for a provider. Raises GatewayError."""
        name = (principal.org_id, provider, principal.revision)
        held = self._credentials.get(name)
        if held is not None and held[1] > self._clock():
            return held[0]
        credential = await self._auth.credential(principal.org_id, provider)
        self._credentials[name] = (credential, self._clock() + POSITIVE_SECONDS)
        while len(self._credentials) > self._most:
            self._credentials.popitem(last=False)
        return credential

    def _checked(self, principal: Principal | None) -> Principal:
        expired = principal is not None and 0 < principal.expire_time_ms <= self._wall() * 1_000
        if principal is None or expired:
            raise Unauthenticated("The API key is not valid", reason="API_KEY_INVALID")
        return principal

    async def _ask(self, key_hash: str) -> Principal:
        return await asyncio.shield(self._start(key_hash))

    def _start(self, key_hash: str) -> asyncio.Task[Principal]:
        asking = self._asking.get(key_hash)
        if asking is None:
            task = asyncio.create_task(self._verify(key_hash))
            asking = self._asking[key_hash] = _Question(task, self._clock())
            task.add_done_callback(lambda done: self._asked(key_hash, done))
        return asking.task

    def _asked(self, key_hash: str, done: asyncio.Task[Principal]) -> None:
        self._asking.pop(key_hash, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it; nobody may be left to ask

    async def _verify(self, key_hash: str) -> Principal:
        began = self._clock()
        try:
            principal = await self._auth.verify(key_hash)
        except Unavailable:
            self._breaker.failed(self._clock() - began)
            raise
        except GatewayError as error:
            self._breaker.succeeded()
            self._entries.pop(key_hash, None)
            if error.reason == "API_KEY_INVALID":
                self._keep(key_hash, None, NEGATIVE_SECONDS)
            raise
        self._breaker.succeeded()
        self._keep(key_hash, principal, POSITIVE_SECONDS)
        return principal

    def _keep(self, key_hash: str, principal: Principal | None, seconds: float) -> None:
        spread = 1 + random.uniform(-JITTER, JITTER)
        now = self._clock()
        self._entries[key_hash] = _Entry(principal, now + seconds * spread, now)
        self._entries.move_to_end(key_hash)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)


def allowed(principal: Principal, requested: str, model: str) -> bool:
    """Whether every list of the principal's has a pattern for one of the two names. To show; the
    ledger decides."""
    return all(
        any(_pattern(p).match(name) for p in patterns for name in (requested, model))
        for patterns in principal.allowed_models
        if patterns
    )


@lru_cache(maxsize=4_096)
def _pattern(text: str) -> re.Pattern[str]:
    """Only ``*`` is special."""
    return re.compile(translate(text.replace("[", "[[]").replace("?", "[?]")))
