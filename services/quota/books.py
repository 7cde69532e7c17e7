"""What is read of the ledger, without changing it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.common import keys
from services.common.kv import Kv
from services.quota import entries
from services.quota.door import Door
from services.quota.items import Lease, Owner

_ORGS_AT_ONCE = 200
_FIELDS = (
    "spent",
    "held",
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_output_tokens",
    "grace",
    "reset",
)


@dataclass(frozen=True, slots=True)
class Counters:
    """One scope in one month; ``spent`` in all, ``reset`` the part that is forgiven."""

    spent: int = 0
    held: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_output_tokens: int = 0
    grace: int = 0
    reset: int = 0
    running: int = 0


class Books:
    """Reads of counters, rankings, journal and directory."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def leases(self, org: str, count: int) -> list[Lease]:
        """The open holds that end first."""

        async def read(kv: Kv) -> list[Any]:
            return list(await kv.zrange(keys.holds(org), 0, count - 1, withscores=True))

        found = []
        for member, end_ms in await self._door.ask(read):
            rid, user, key = member.split(" ")
            found.append(Lease(rid, Owner(org, user, key), int(end_ms)))
        return found

    async def first_ends(self, orgs: Sequence[str]) -> list[int | None]:
        """When the first open hold of each organisation ends; None where none is open."""

        async def read(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for org in orgs:
                pipe.zrange(keys.holds(org), 0, 0, withscores=True)
            return list(await pipe.execute())

        rows = await self._door.ask(read) if orgs else []
        return [int(row[0][1]) if row else None for row in rows]

    async def organisations(self, after: str, count: int) -> list[str]:
        """Ids of all organisations, living and deleted, in their order behind ``after``."""

        async def read(kv: Kv) -> list[Any]:
            low = f"({after}" if after else "-"
            return list(await kv.zrange(keys.ORGS, low, "+", bylex=True, offset=0, num=count))

        return await self._door.ask(read)

    async def each_organisation(self) -> AsyncIterator[list[str]]:
        """All organisations, some at a time."""
        after = ""
        while found := await self.organisations(after, _ORGS_AT_ONCE):
            yield found
            after = found[-1]

    async def knows(self, org: str) -> bool:
        """Whether the organisation exists or existed."""
        return await self._door.ask(lambda kv: kv.zscore(keys.ORGS, org)) is not None

    async def org_of(self, user: str) -> str:
        """The organisation of a user, living or deleted; empty when there never was one."""
        return str(await self._door.ask(lambda kv: kv.get(keys.user_directory(user))) or "")

    async def config(self, key: str) -> dict[str, str]:
        """A configuration hash; empty for what is deleted."""

        async def read(kv: Kv) -> Any:
            return await kv.hgetall(key)

        return dict(await self._door.ask(read))

    async def has_counters(self, key: str) -> bool:
        """Whether anything was ever counted under a quota key."""
        return bool(await self._door.ask(lambda kv: kv.exists(key)))

    async def open_month(self, org: str) -> str:
        """The newest month this organisation has seen; empty for none."""
        found = await self._door.ask(lambda kv: kv.hget(keys.org_quota(org), "month"))
        return str(found or "")

    async def counters(self, names: Sequence[str], month: str) -> list[Counters]:
        """The counters under each quota key."""
        fields = [*(f"{month}:{field}" for field in _FIELDS), "running"]

        async def read(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for name in names:
                pipe.hmget(name, fields)
            return list(await pipe.execute())

        rows = await self._door.ask(read) if names else []
        return [Counters(*(int(value or 0) for value in row)) for row in rows]

    async def ranked(self, names: Sequence[str], count: int) -> list[list[str]]:
        """The first members of each ranking."""

        async def read(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for name in names:
                pipe.zrange(name, 0, count - 1, desc=True)
            return list(await pipe.execute())

        return await self._door.ask(read) if names else []

    async def journal(
        self, org: str, start: str, end: str, count: int, *, newest_first: bool = False
    ) -> list[tuple[str, dict[str, str]]]:
        """Entries from ``start`` to ``end`` (stream ids, ``(id`` exclusive, ``-`` and ``+``)."""

        async def read(kv: Kv) -> list[Any]:
            name = keys.journal(org)
            if newest_first:
                return list(await kv.xrevrange(name, end, start, count) or [])
            return list(await kv.xrange(name, start, end, count) or [])

        return [(at, entries.fields(entry)) for at, entry in await self._door.ask(read)]

    async def emails(self, users: Sequence[tuple[str, str]]) -> list[str]:
        """E-mail address of each (organisation, user); empty for deleted ones."""

        async def read(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for org, user in users:
                pipe.hget(keys.user_config(org, user), "email")
            return list(await pipe.execute())

        return [str(email or "") for email in await self._door.ask(read)] if users else []
