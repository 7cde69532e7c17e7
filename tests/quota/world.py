"""An organisation in a KV, as auth would have written it, and a ledger over it."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.common import keys
from services.common.kv import open_kv
from services.quota import entries, scripts
from services.quota.books import Books
from services.quota.door import Door
from services.quota.items import Owner, Reserve, Settle
from services.quota.months import month_of
from services.quota.pricing import Bound, Tokens
from services.quota.store import LedgerStore

CLOCK_KEY = "test:clock"
TEST_CLOCK = f"local function clock() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end\n"
USD = 1_000_000_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class World:
    """A KV with a ledger. ``owner`` writes an organisation with one user and one key."""

    kv: Any
    store: LedgerStore
    books: Books

    async def owner(
        self,
        *,
        org_limit: int = 100 * USD,
        user_limit: int | None = 100 * USD,
        key_limit: int | None = None,
        org: str = "",
        user: str = "",
        **org_fields: str,
    ) -> Owner:
        owner = Owner(org or name("org"), user or name("user"), name("key"))
        common = {"status": "active"}
        await self.write(keys.org_config(owner.org), common, limit=org_limit, **org_fields)
        await self.write(keys.user_config(owner.org, owner.user), common, limit=user_limit)
        await self.write(
            keys.key_config(owner.org, owner.key), common, user=owner.user, limit=key_limit
        )
        await self.kv.zadd(keys.ORGS, {owner.org: 0})
        await self.kv.zadd(keys.org_users(owner.org), {owner.user: 0})
        await self.kv.set(keys.user_directory(owner.user), owner.org)
        return owner

    async def write(self, key: str, fields: dict[str, str], **more: object) -> None:
        kept = {k: str(v) for k, v in more.items() if v is not None}
        await self.kv.hset(key, mapping={**fields, **kept})

    async def counters(self, owner: Owner, month: str) -> dict[str, dict[str, int]]:
        """Counters of a month by scope, without zeros."""
        found = {}
        for scope, key in quota_keys(owner).items():
            values = await self.kv.hgetall(key)
            found[scope] = {
                field.partition(":")[2]: int(value)
                for field, value in values.items()
                if field.startswith(month) and int(value)
            }
        return found

    async def journal(self, org: str) -> list[dict[str, Any]]:
        return [entries.fields(e) for _, e in await self.kv.xrange(keys.journal(org))]


def quota_keys(owner: Owner) -> dict[str, str]:
    return {
        "key": keys.key_quota(owner.org, owner.key),
        "user": keys.user_quota(owner.org, owner.user),
        "org": keys.org_quota(owner.org),
    }


def name(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def world(
    kv_url: str, *, clock: str | None = None, wait: float = 20.0, cluster: bool = False
) -> AsyncIterator[World]:
    kv = open_kv(kv_url, timeout_ms=int(wait * 1000), connections=16, cluster=cluster)
    door = Door(kv, timeout=wait)
    try:
        yield World(kv, LedgerStore(door, scripts.load(clock=clock)), Books(door))
    finally:
        await kv.aclose()


def reserve(owner: Owner, cost: int = USD, **changes: Any) -> Reserve:
    """A reservation that costs ``cost`` nano-USD, all of it input, unless ``bound`` says more."""
    fields: dict[str, Any] = {
        "id": name("rsv"),
        "fingerprint": "f",
        "owner": owner,
        "model": "simulator/echo",
        "bound": Bound(cost * 1000, 0),
        "output": 0,
        "least": 0,
        "caller_ms": now_ms(),
        "named": "echo",
        "operation": "chat",
        "request": "req_1",
        "tokens": str(Tokens(input=7)),
    }
    return Reserve(**(fields | changes))


def settle(ask: Reserve, cost: int, kind: str = "charge", **changes: Any) -> Settle:
    at = ask.caller_ms
    fields: dict[str, Any] = {
        "id": ask.id,
        "kind": kind,
        "owner": ask.owner,
        "month": month_of(at),
        "admit_ms": at,
        "fingerprint": ask.fingerprint,
        "model": ask.model,
        "operation": ask.operation,
        "cost": cost,
        "tokens": str(Tokens(input=7, output=3)),
        "request": ask.request,
    }
    return Settle(**(fields | changes))
