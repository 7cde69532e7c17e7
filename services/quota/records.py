"""Usage records: usage by day, user, key and model, read in this order through their index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.common import keys
from services.common.kv import Kv
from services.quota.books import Books
from services.quota.door import Door

_ORGS_AT_ONCE = 200
_MEASURES = ("spent", "requests", "input", "output")

Place = tuple[str, str]
"""An organisation and the name of one of its records; without a name, the end of its records."""


@dataclass(frozen=True, slots=True)
class Record:
    """Usage of one combination of day, user, key and model."""

    org: str
    day: str
    user: str
    key: str
    model: str
    spent: int
    requests: int
    input_tokens: int
    output_tokens: int


class UsageRecords:
    """The records of one month at a time."""

    def __init__(self, door: Door, books: Books) -> None:
        self._door = door
        self._books = books

    async def after(self, only: str, month: str, position: str, count: int) -> list[Place]:
        """Up to ``count`` places behind ``position`` ("<org>|<name>", empty: from the first on), of
        ``only`` this organisation or of all; fewer only at the end."""
        org, _, last = position.partition("|")
        found: list[Place] = []
        if only or last:
            org = only or org
            found = [(org, name) for name in await self._names(org, month, last, count)]
            if only:
                return found
        while len(found) < count:
            orgs = await self._books.organisations(org, _ORGS_AT_ONCE)
            if not orgs:
                break
            orgs = await self._filling(orgs, month, count - len(found))
            for org, names in zip(orgs, await self._first(orgs, month, count), strict=True):
                found += [(org, name) for name in names] or [(org, "")]
        return found[:count]

    async def read(self, month: str, places: Sequence[Place]) -> list[Record]:
        """The records at these places."""

        async def ask(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for org, name in places:
                fields = [f"{name}|{measure}" for measure in _MEASURES]
                pipe.hmget(keys.usage_records(org, month), fields)
            return list(await pipe.execute())

        rows = await self._door.ask(ask) if places else []
        found = []
        for (org, name), row in zip(places, rows, strict=True):
            day, user, key, model = name.split("|", 3)
            found.append(Record(org, day, user, key, model, *(int(value or 0) for value in row)))
        return found

    async def _names(self, org: str, month: str, last: str, count: int) -> list[str]:
        async def ask(kv: Kv) -> list[Any]:
            low, index = f"({last}" if last else "-", keys.usage_index(org, month)
            return list(await kv.zrange(index, low, "+", bylex=True, offset=0, num=count))

        return list(map(str, await self._door.ask(ask)))

    async def _first(self, orgs: Sequence[str], month: str, count: int) -> list[list[str]]:
        async def ask(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for org in orgs:
                pipe.zrange(keys.usage_index(org, month), 0, count - 1)
            return list(await pipe.execute())

        return await self._door.ask(ask)

    async def _filling(self, orgs: Sequence[str], month: str, count: int) -> list[str]:
        """The first of ``orgs``, so many that they have ``count`` records together."""

        async def ask(kv: Kv) -> list[Any]:
            pipe = kv.pipeline(transaction=False)
            for org in orgs:
                pipe.zcard(keys.usage_index(org, month))
            return list(await pipe.execute())

        chosen: list[str] = []
        for org, size in zip(orgs, await self._door.ask(ask), strict=True):
            chosen.append(org)
            count -= max(1, int(size))
            if count <= 0:
                break
        return chosen
