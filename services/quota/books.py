"""What is read of the ledger, without changing it."""

from typing import Any

from services.common import keys
from services.common.kv import Kv
from services.quota.door import Door
from services.quota.items import Lease, Owner


class Books:
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

    async def organisations(self, after: str, count: int) -> list[str]:
        """Ids of all organisations, living and deleted, in their order behind ``after``."""

        async def read(kv: Kv) -> list[Any]:
            low = f"({after}" if after else "-"
            return list(await kv.zrange(keys.ORGS, low, "+", bylex=True, offset=0, num=count))

        return await self._door.ask(read)
