"""A Redis or Valkey Cluster behind the same client as one node.

redis-py's own cluster client answers a dead node by closing every connection, sleeping and
repeating commands, and a full pool by an error. Here each node has its own pool whose callers
wait, a command is sent again only when a node said that it did not run it (MOVED, ASK, TRYAGAIN),
and the map of slots is renewed beside the traffic.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    CrossSlotTransactionError,
    MovedError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from services.common.kv_pool import Pool
from services.common.kv_slots import Address, Slots, slot_of

_REDIRECTS = 5
_TRY_AGAIN_SECONDS = 0.02


class ClusterKv(Redis):
    """``seeds`` are nodes to ask for the map of slots; ``options`` are redis-py's for one
    connection. At most ``connections`` to each node; waiting for one is bounded by ``timeout``
    seconds."""

    def __init__(
        self, seeds: Sequence[Address], options: dict[str, Any], *, connections: int, timeout: float
    ) -> None:
        self._options = options
        self._connections = connections
        self._timeout = timeout
        self._clients: dict[Address, Redis] = {}
        self._slots = Slots(seeds, self._client)
        super().__init__(connection_pool=self._client(seeds[0]).connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As for one node. PING is answered while any primary does: a part of the keys being
        away must not take the others with it."""
        if args[0] == "PING":
            return await self._ping()
        slot = slot_of(args)
        for left in reversed(range(_REDIRECTS)):
            address = await self._slots.owner(slot)
            try:
                client: Any = self._client(address)
                return await client.execute_command(*args, **options)
            except MovedError as moved:
                self._slots.moved(moved)
                if not left:
                    raise
            except AskError as ask:
                return await self._asking(ask, args, options)
            except TryAgainError:
                # The keys of this slot are on their way between two nodes.
                if not left:
                    raise
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            except (ConnectionError, TimeoutError, ClusterDownError):
                self._slots.renew()
                raise
        raise AssertionError("unreachable")

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return ClusterPipeline(self, transaction)

    async def primaries(self) -> dict[Address, Redis]:
        """A client for each primary."""
        return {address: self._client(address) for address in await self._slots.primaries()}

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self._slots.aclose()
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.aclose() for client in clients))

    async def run_on(self, slot: int | None, transaction: bool, stack: Sequence[Any]) -> list[Any]:
        """The commands of one slot's node in one round trip; failures stand among the answers."""
        address = await self._slots.owner(slot)
        try:
            async with self._client(address).pipeline(transaction=transaction) as pipe:
                for args, options in stack:
                    pipe.execute_command(*args, **options)
                return list(await pipe.execute(raise_on_error=False))
        except MovedError as moved:
            self._slots.moved(moved)
            raise
        except (ConnectionError, TimeoutError, ClusterDownError):
            self._slots.renew()
            raise

    async def owner_of(self, args: Sequence[Any]) -> Address:
        return await self._slots.owner(slot_of(args))

    async def _ping(self) -> bool:
        clients: Mapping[Address, Any] = await self.primaries()
        pings = (client.execute_command("PING") for client in clients.values())
        answers = await asyncio.gather(*pings, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed:
            self._slots.renew()
        if len(failed) == len(answers):
            raise failed[0]
        return True

    async def _asking(self, ask: AskError, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        target = self._client((ask.host, ask.port))
        async with target.pipeline(transaction=False) as pipe:
            pipe.execute_command("ASKING")
            pipe.execute_command(*args, **options)
            _, answer = await pipe.execute(raise_on_error=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _client(self, address: Address) -> Redis:
        client = self._clients.get(address)
        if client is None:
            host, port = address
            pool = Pool(
                max_connections=self._connections,
                timeout=self._timeout,
                **{**self._options, "host": host, "port": port},
            )
            client = self._clients[address] = Redis.from_pool(pool)
        return client


class ClusterPipeline(Pipeline):
    """Commands collected and sent together: to one node as a transaction, else to each node its
    own."""

    def __init__(self, kv: ClusterKv, transaction: bool) -> None:
        super().__init__(kv.connection_pool, kv.response_callbacks, transaction, None)
        self._kv = kv

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack = self.command_stack
        self.command_stack = []
        answers = await (self._together(stack) if self.is_transaction else self._apart(stack))
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    async def _together(self, stack: Sequence[Any]) -> list[Any]:
        slots = {slot_of(args) for args, _ in stack}
        if len(slots) > 1:
            raise CrossSlotTransactionError("all keys of a transaction must lie in one slot")
        for slot in slots:
            try:
                return await self._kv.run_on(slot, True, stack)
            except MovedError:
                return await self._kv.run_on(slot, True, stack)
        return []

    async def _apart(self, stack: Sequence[Any]) -> list[Any]:
        places: dict[Address, list[int]] = {}
        for place, (args, _) in enumerate(stack):
            places.setdefault(await self._kv.owner_of(args), []).append(place)
        parts = [[stack[n] for n in mine] for mine in places.values()]
        calls = (self._kv.run_on(slot_of(part[0][0]), False, part) for part in parts)
        done = await asyncio.gather(*calls, return_exceptions=True)
        answers: list[Any] = [None] * len(stack)
        for mine, replies in zip(places.values(), done, strict=True):
            if isinstance(replies, BaseException):
                raise replies
            for place, reply in zip(mine, replies, strict=True):
                answers[place] = reply
        for place, (args, options) in enumerate(stack):
            if isinstance(answers[place], MovedError | AskError | TryAgainError):
                try:
                    answers[place] = await self._kv.execute_command(*args, **options)
                except ResponseError as error:
                    answers[place] = error
        return answers
