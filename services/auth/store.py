"""The only door to the KV: reads in bounded round trips, and one way to write."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from services.auth import model
from services.common import keys
from services.common.errors import Unavailable
from services.common.kv import Kv, kv_errors
from services.common.script import Script
from services.common.trail import ENTRY, Author, Step, Trail

T = TypeVar("T")

_COMMIT = Path(__file__).parent / "scripts" / "commit.lua"

Command = tuple[str, str, tuple[str, ...]]
"""Command, key, arguments."""


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
        self.trail = Trail(kv, self.now)
        self._script = Script(ENTRY, _COMMIT)

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
        """Read, decide, write: as if nobody else wrote to this organisation meanwhile. See
        ``services.common.trail.Trail``; ``decide`` must not change anything itself."""
        plan: Change[T] | Unchanged[T]

        async def step() -> Step | None:
            nonlocal plan
            plan = await decide()
            if isinstance(plan, Unchanged):
                return None
            await self.read(*plan.first)
            return self._step(plan)

        await self.trail.write(trail, author, step)
        if isinstance(plan, Change):
            with contextlib.suppress(Unavailable):  # The change is made all the same.
                await self.read(*plan.last)
        return plan.result

    def _step(self, plan: Change[Any]) -> Step:
        touched = list(dict.fromkeys(key for _, key, _ in plan.commands))
        places = {key: place for place, key in enumerate(touched, 3)}
        operations = [
            (command, places[key], *arguments) for command, key, arguments in plan.commands
        ]
        return Step(
            plan.action,
            plan.target,
            self._script,
            touched,
            [orjson.dumps(operations).decode()],
            plan.before,
            plan.after,
        )

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
