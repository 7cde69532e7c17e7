"""Which node of a cluster has which slot, learnt beside the traffic."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ClusterDownError, ConnectionError, MovedError, RedisError

from services.common.logs import logger

log = logger("kv")

_RENEW_PAUSE_SECONDS = 0.2
_KEY_AFTER_TWO = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
_NO_KEY = frozenset({"INFO", "TIME", "CONFIG GET", "COMMAND", "DBSIZE"})

Address = tuple[str, int]


def slot_of(args: Sequence[Any]) -> int | None:
    """The slot of a command's first key; None for a command without one."""
    name = str(args[0]).upper()
    if name in _NO_KEY:
        return None
    at = 1
    if name in _KEY_AFTER_TWO:
        if not int(args[2]):
            return None
        at = 3
    if len(args) <= at:
        return None
    key = args[at]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


class Slots:
    """The map of slots to primaries; ``client`` makes or finds the client of a node."""

    def __init__(self, seeds: Sequence[Address], client: Callable[[Address], Redis]) -> None:
        self._seeds = list(seeds)
        self._client = client
        self._owners: list[Address | None] = []
        self._renewal: asyncio.Task[None] | None = None

    async def owner(self, slot: int | None) -> Address:
        """The primary of a slot; any primary without one. Raises ClusterDownError."""
        if not self._owners:
            await asyncio.shield(self.renew())
        address = random.choice(await self.primaries()) if slot is None else self._owners[slot]
        if address is None:
            self.renew()
            raise ClusterDownError("CLUSTERDOWN no node has this slot")
        return address

    async def primaries(self) -> list[Address]:
        if not self._owners:
            await asyncio.shield(self.renew())
        return [*{address for address in self._owners if address}]

    def moved(self, told: MovedError) -> None:
        self._owners[told.slot_id] = (told.host, told.port)
        self.renew()

    def renew(self) -> asyncio.Task[None]:
        """Ask for the map, once at a time."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._learn(first=not self._owners))
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def aclose(self) -> None:
        if self._renewal:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _learn(self, *, first: bool) -> None:
        known = [*{address for address in self._owners if address}]
        random.shuffle(known)
        failure = RedisError("no node has any slot")
        for address in dict.fromkeys([*known, *self._seeds]):
            try:
                node: Any = self._client(address)
                ranges = await node.execute_command("CLUSTER", "SLOTS")
            except RedisError as error:
                failure = error
                continue
            if ranges:
                self._take(ranges, address)
                break
        else:
            log.warning("kv_cluster_unknown", cause=repr(failure))
            if first:
                raise ConnectionError("no node tells the map of slots") from failure
        if not first:
            # Whoever meets the old map until then does not ask again.
            await asyncio.sleep(_RENEW_PAUSE_SECONDS)

    def _take(self, ranges: list[Any], asked: Address) -> None:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for start, end, (host, port, *_), *_replicas in ranges:
            # A node that does not know its own name leaves it to whoever asks.
            address = (asked[0] if host in (None, "", "?") else host, port)
            owners[start : end + 1] = [address] * (end - start + 1)
        if owners != self._owners:
            self._owners = owners
            primaries = sorted(f"{host}:{port}" for host, port in {a for a in owners if a})
            log.info("kv_cluster", primaries=primaries)
