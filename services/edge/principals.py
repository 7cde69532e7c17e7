"""Who is behind a key, remembered for a moment.

A cached principal identifies; the ledger admits, with status and limits of the moment. So a stale
entry is never a way in, and a revision newer than ours throws it out.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.auth.v1.auth_pb2 import Principal
from services.common.errors import GatewayError, Unauthenticated
from services.edge.clients import AuthClient

POSITIVE_SECONDS = 60.0
NEGATIVE_SECONDS = 10.0
JITTER = 0.1
MOST = 20_000


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal | None
    until: float


class Principals:
    """Principals by the hash of their key. Concurrent questions about one key are one question."""

    def __init__(
        self,
        auth: AuthClient,
        *,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._most = most
        self._clock = clock
        self._wall = wall
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Principal]] = {}
        self._credentials: OrderedDict[tuple[str, str, int], tuple[str, float]] = OrderedDict()

    async def find(self, key_hash: str) -> Principal:
        """The principal. Raises Unauthenticated for a key that is unknown, revoked or expired, and
        Unavailable when that cannot be said."""
        entry = self._entries.get(key_hash)
        if entry is not None and entry.until > self._clock():
            self._entries.move_to_end(key_hash)
            return self._checked(entry.principal)
        return self._checked(await self._ask(key_hash))

    async def refresh(self, key_hash: str) -> Principal:
        """The principal as it is now."""
        self._entries.pop(key_hash, None)
        return self._checked(await self._ask(key_hash))

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
        task = self._asking.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._verify(key_hash))
            self._asking[key_hash] = task
            task.add_done_callback(lambda done: self._asked(key_hash, done))
        return await asyncio.shield(task)

    def _asked(self, key_hash: str, done: asyncio.Task[Principal]) -> None:
        self._asking.pop(key_hash, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it; nobody may be left to ask

    async def _verify(self, key_hash: str) -> Principal:
        try:
            principal = await self._auth.verify(key_hash)
        except GatewayError as error:
            if error.reason == "API_KEY_INVALID":
                self._keep(key_hash, None, NEGATIVE_SECONDS)
            raise
        self._keep(key_hash, principal, POSITIVE_SECONDS)
        return principal

    def _keep(self, key_hash: str, principal: Principal | None, seconds: float) -> None:
        spread = 1 + random.uniform(-JITTER, JITTER)
        self._entries[key_hash] = _Entry(principal, self._clock() + seconds * spread)
        self._entries.move_to_end(key_hash)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
