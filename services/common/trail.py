"""The audit trails: every change is told in the same step that makes it, or neither happens.

Each organisation has a trail in its own slot, and the platform has one. Whatever writes moves the
trail's head; who finds it moved since it began to read decides anew.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from services.common import chain, keys
from services.common.errors import Unavailable
from services.common.kv import Kv, kv_errors
from services.common.script import Script

_SCRIPTS = Path(__file__).parent / "scripts"
_ATTEMPTS = 40
_EVENT_KEPT_SECONDS = 7 * 86_400

ENTRY = _SCRIPTS / "entry.lua"
"""Joined in front of every script that a ``Step`` runs."""

_EVENT = Script(ENTRY, _SCRIPTS / "event.lua")


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and by which request."""

    actor: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A change as the trail tells it, and the script that makes it: ``names`` and ``arguments``
    follow those of ``ENTRY``. Secrets are masked by whoever makes it."""

    action: str
    target: str
    script: Script
    names: Sequence[str] = ()
    arguments: Sequence[str | int] = ()
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


Decide = Callable[[], Awaitable[Step | None]]


class Trail:
    """``now`` gives Unix milliseconds."""

    def __init__(self, kv: Kv, now: Callable[[], int]) -> None:
        self._kv = kv
        self._now = now
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def write(self, trail: str, author: Author, decide: Decide) -> bool:
        """Read, decide, write: as if nobody else wrote to this organisation meanwhile. ``decide``
        may run several times, and changes nothing itself; False when it found nothing to do."""
        turn = self._turns.setdefault(trail, asyncio.Lock())
        async with turn:
            for attempt in range(_ATTEMPTS):
                head = chain.Head.parse(await self._head(trail))
                step = await decide()
                if step is None:
                    return False
                if await self._commit(trail, author, head, step):
                    return True
                await asyncio.sleep(random.uniform(0, 0.002 * (attempt + 1)))
        raise Unavailable("too many changes to this organisation at once", retry_after_ms=500)

    async def tell(
        self, trail: str, author: Author, action: str, target: str, facts: dict[str, str], once: str
    ) -> bool:
        """An entry of its own, for an event: a second one with the same ``once`` (an id, empty for
        none) within a week is not written, and False."""
        marker = keys.audit_event(trail, once)
        names, arguments = ((marker,), (_EVENT_KEPT_SECONDS,)) if once else ((), ())

        async def decide() -> Step | None:
            with kv_errors():
                if once and await self._kv.exists(marker):
                    return None
            return Step(action, target, _EVENT, names, arguments, after=facts)

        return await self.write(trail, author, decide)

    async def _head(self, trail: str) -> str | None:
        with kv_errors():
            found = await self._kv.get(keys.audit_head(trail))
        return None if found is None else str(found)

    async def _commit(self, trail: str, author: Author, head: chain.Head, step: Step) -> bool:
        entry = {
            "actor": author.actor,
            "action": step.action,
            "target": step.target,
            "before": step.before,
            "after": step.after,
            "request_id": author.request_id,
        }
        text, after = chain.link(head, entry, self._now())
        names = [keys.audit(trail), keys.audit_head(trail), *step.names]
        link = (head.text(), after.text(), after.entry_id, text, after.hash)
        try:
            with kv_errors():
                found = await step.script.run(self._kv, names, [*link, *step.arguments])
        except Unavailable:
            # The answer may be lost where the change is not: the head tells.
            if await self._head(trail) != after.text():
                raise
            return True
        # A cluster client may have sent it twice; the second finds the head of the first.
        return found in (head.text(), after.text())
