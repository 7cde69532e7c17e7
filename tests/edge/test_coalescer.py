"""Small calls become larger ones without waiting, and no result reaches another's caller."""

import asyncio
from collections.abc import Sequence

import pytest

from services.common.errors import GatewayError, Internal, Unavailable
from services.edge.coalescer import Coalescer


class Line:
    """Answers each number with its double, when the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.error: GatewayError | None = None
        self.lost = 0

    async def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.called.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [item * 2 for item in items[self.lost :]]


async def test_a_lone_call_leaves_at_once() -> None:
    line = Line()
    line.gate.set()
    call = Coalescer(line)
    assert await call(4) == 8
    assert await call(5) == 10
    assert line.batches == [[4], [5]]


async def test_what_gathers_during_a_call_is_the_next_call() -> None:
    line = Line()
    call = Coalescer(line, most=4)
    first = asyncio.create_task(call(0))
    await line.called.wait()
    others = [asyncio.create_task(call(n)) for n in range(1, 7)]
    await asyncio.sleep(0)
    line.gate.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
    assert line.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_cancelled_caller_takes_nobodys_result() -> None:
    line = Line()
    call = Coalescer(line)
    calls = [asyncio.create_task(call(n)) for n in range(5)]
    await line.called.wait()
    calls[0].cancel()
    calls[2].cancel()
    line.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == [2, 6, 8]


async def test_an_error_is_everybodys_of_that_call_and_nobody_elses() -> None:
    line = Line()
    line.error = Unavailable("away")
    call = Coalescer(line)
    failing = [asyncio.create_task(call(n)) for n in range(3)]
    await line.called.wait()
    line.gate.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    line.error = None
    assert await call(7) == 14


async def test_results_that_do_not_match_their_items_are_given_to_nobody() -> None:
    line = Line()
    line.lost = 1
    line.gate.set()
    call = Coalescer(line)
    results = await asyncio.gather(call(1), call(2), return_exceptions=True)
    assert [type(result) for result in results] == [Internal, Internal]


async def test_abandoned_items_do_not_wait_for_a_call_that_hangs() -> None:
    line = Line()
    call = Coalescer(line)
    first = asyncio.create_task(call(1))
    await line.called.wait()
    second = asyncio.create_task(call(2))
    await asyncio.sleep(0)
    call.abandon(Unavailable("away"))
    with pytest.raises(Unavailable):
        await second
    line.gate.set()
    assert await first == 2
    assert line.batches == [[1]]
