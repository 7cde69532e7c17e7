"""Many small calls as few larger ones, without waiting for company."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.common.errors import GatewayError, Internal

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """While one call is in flight, what gathers goes out as the next. An item that finds nothing
    in flight leaves at once. ``call`` answers with a result for each item, in their order, or
    raises a GatewayError for all of them."""

    def __init__(
        self, call: Callable[[list[Item]], Awaitable[Sequence[Result]]], *, most: int = 128
    ) -> None:
        self._call = call
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._flight: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, item: Item) -> Result:
        """The result for one item. Raises GatewayError."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._flight is None:
            self._flight = loop.create_task(self._fly())
        return await future

    @property
    def busy(self) -> bool:
        """Whether a call is in flight."""
        return self._flight is not None

    def abandon(self, error: GatewayError) -> None:
        """Raise for every item that has not left yet."""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)

    async def _fly(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._most]
                del self._waiting[: self._most]
                await self._carry(batch)
                await asyncio.sleep(0)  # who was answered may have more to send
        finally:
            self._flight = None

    async def _carry(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
            if len(results) != len(batch):
                raise Internal(f"{len(batch)} items were answered by {len(results)} results")
        except GatewayError as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
