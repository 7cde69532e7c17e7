"""The only door to the KV: reads in bounded round trips, and one way to write."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import orjson

from services.auth import chain, model
from services.common import keys
from services.common.errors import Unavailable
from services.common.kv import Kv, kv_errors
from services.common.script import Script

T = TypeVar("T")

_ATTEMPTS = 40
_COMMIT = Path(__file__).parent / "scripts" / "commit.lua"

Command = tuple[str, str, tuple[str, ...]]
"""Command, key, arguments."""


@dataclass(frozen=True)
class Author:
    """Who changes something, and by which request."""

    actor: str
    request_id: str = ""


@dataclass
class Change(Generic[T]):
    """What a write decided to do, and what its caller answers with."""

    result: T
    action: str
    target: str
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    first: list[tuple[Any, ...]] = field(default_factory=list)
    last: list[tuple[Any, ...]] = field(default_factory=list)
    """Directory entries, which lie in other slots: written before the change that needs them and
    removed after it, so that whatever is left over when the KV fails in between is harmless."""

    def do(self, command: str, key: str, *arguments: object) -> None:
        self.commands.append((command, key, tuple(str(argument) for argument in arguments)))

    def write_row(self, key: str, new: model.Row, old: model.Row | None = None) -> None:
        """Write a hash; fields of ``old`` that ``new`` no longer has are removed."""
        self.do("HSET", key, *(text for pair in new.items() for text in pair))
        gone = [name for name in old or {} if name not in new]
        if gone:
            self.do("HDEL", key, *gone)


@dataclass(frozen=True)
class Unchanged(Generic[T]):
    """What a write answers with that found nothing to do."""

    result: T


class Store:
    """``clock`` gives Unix seconds."""

    def __init__(self, kv: Kv, clock: Callable[[], float]) -> None:
        self.kv = kv
        self._clock = clock
        self._script = Script(_COMMIT)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def now(self) -> int:
        """Unix milliseconds."""
        return int(self._clock() * 1000)

    async def ping(self) -> None:
        with kv_errors():
            await self.kv.ping()

    async def read(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to several commands in one round trip (one for each node of a cluster)."""
        return await self._pipeline(False, commands)

    async def read_together(self, *commands: tuple[Any, ...]) -> list[Any]:
        """As :meth:`read`, of one slot and at one instant."""
        return await self._pipeline(True, commands)

    async def _pipeline(self, transaction: bool, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if not commands:
            return []
        with kv_errors():
            async with self.kv.pipeline(transaction=transaction) as pipe:
                for command in commands:
                    getattr(pipe, command[0])(*command[1:])
                answers: list[Any] = await pipe.execute()
        return answers

    async def rows(self, names: Iterable[str]) -> list[dict[str, str]]:
        return await self.read(*(("hgetall", name) for name in names))

    async def change(
        self,
        trail: str,
        author: Author,
        decide: Callable[[], Awaitable[Change[T] | Unchanged[T]]],
    ) -> T:
        """Read, decide, write: as if nobody else wrote to this organisation meanwhile.

        Every write moves the head of the audit trail; one that finds it moved since it began to
        read decides anew. ``decide`` therefore must not change anything itself."""
        turn = self._turns.setdefault(trail, asyncio.Lock())
        async with turn:
            for attempt in range(_ATTEMPTS):
                (found,) = await self.read(("get", keys.audit_head(trail)))
                head = chain.Head.parse(found)
                plan = await decide()
                if isinstance(plan, Unchanged):
                    return plan.result
                await self.read(*plan.first)
                if await self._commit(trail, author, head, plan):
                    with contextlib.suppress(Unavailable):  # The change is made all the same.
                        await self.read(*plan.last)
                    return plan.result
                await asyncio.sleep(random.uniform(0, 0.002 * (attempt + 1)))
        raise Unavailable("too many changes to this organisation at once", retry_after_ms=500)

    async def _commit(
        self, trail: str, author: Author, head: chain.Head, plan: Change[Any]
    ) -> bool:
        entry = {
            "actor": author.actor,
            "action": plan.action,
            "target": plan.target,
            "before": plan.before,
            "after": plan.after,
            "request_id": author.request_id,
        }
        text, after = chain.link(head, entry, self.now())
        touched = list(dict.fromkeys(key for _, key, _ in plan.commands))
        names = [keys.audit(trail), keys.audit_head(trail), *touched]
        places = {key: place for place, key in enumerate(touched, 3)}
        operations = [
            (command, places[key], *arguments) for command, key, arguments in plan.commands
        ]
        arguments = (
            head.text(),
            after.text(),
            after.entry_id,
            text,
            after.hash,
            orjson.dumps(operations).decode(),
        )
        try:
            with kv_errors():
                found = await self._script.run(self.kv, names, arguments)
        except Unavailable:
            # The answer may be lost where the change is not: the head tells.
            (found,) = await self.read(("get", keys.audit_head(trail)))
            if found != after.text():
                raise
            return True
        # A cluster client may have sent it twice; the second finds the head of the first.
        return found in (head.text(), after.text())

    async def after(self, index: str, position: str, count: int) -> list[str]:
        """The next members of a sorted set whose scores are all 0; ``position`` is the last one
        seen, empty for none."""
        (found,) = await self.read(
            ("zrangebylex", index, f"({position}" if position else "-", "+", 0, count)
        )
        return list(found)

    async def known(self, org: str) -> bool:
        """Whether the organisation exists or existed."""
        (score,) = await self.read(("zscore", keys.ORGS, org))
        return score is not None

    async def organization(self, org: str) -> model.Organization | None:
        (row,) = await self.rows([keys.org_config(org)])
        return model.organization(org, row) if row else None

    async def org_of(self, user: str) -> str | None:
        """The organisation of a user, living or deleted."""
        (found,) = await self.read(("get", keys.user_directory(user)))
        return str(found) if found else None

    async def user(self, org: str, user: str) -> model.User | None:
        (row,) = await self.rows([keys.user_config(org, user)])
        return model.user(org, user, row) if row else None

    async def key(self, org: str, key: str) -> model.Key | None:
        (row,) = await self.rows([keys.key_config(org, key)])
        return model.key(org, key, row) if row else None

    async def keys_of(self, org: str, users: Sequence[str]) -> list[model.Key]:
        """Every key of these users."""
        listed = await self.read(*(("zrange", keys.user_keys(org, u), 0, -1) for u in users))
        ids = [key for found in listed for key in found]
        rows = await self.rows(keys.key_config(org, key) for key in ids)
        return [model.key(org, key, row) for key, row in zip(ids, rows, strict=True) if row]
