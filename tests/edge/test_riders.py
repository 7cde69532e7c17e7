"""Settlements travel with reserves; none is lost, booked by two ways or kept waiting."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.quota.v1 import quota_pb2 as pb
from services.common.errors import Internal, Unavailable, to_status
from services.edge import riders
from services.edge.riders import Party, Riders
from tests.edge.test_line import Streaming, answers, over, reserve
from tests.waiting import until


def settlement(name: str) -> pb.SettleItem:
    return pb.SettleItem(reservation_id=name)


def results(*costs: int) -> list[pb.SettleResult]:
    return [pb.SettleResult(charged_nano_usd=cost) for cost in costs]


class Way:
    """The call that settlements take by themselves."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def __call__(self, items: Sequence[pb.SettleItem]) -> Sequence[pb.SettleResult]:
        self.taken += [item.reservation_id for item in items]
        return results(*(7 for _ in items))


async def boarded(made: Riders) -> Party:
    """The next party that is not empty."""
    party = made.board()
    while not party.items:
        await asyncio.sleep(0)
        party = made.board()
    return party


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(riders, "LOOK_SECONDS", 60.0)


async def test_each_rider_is_told_its_own_results(patient: None) -> None:
    alone = Way()
    made = Riders(alone, lambda: True)
    first = asyncio.create_task(made([settlement("a"), settlement("b")]))
    second = asyncio.create_task(made([settlement("c")]))
    await asyncio.sleep(0)
    party = made.board()
    assert [item.reservation_id for item in party.items] == ["a", "b", "c"]
    assert made.board().items == []
    party.arrived(results(1, 2, 3))
    assert [r.charged_nano_usd for r in await first] == [1, 2]
    assert [r.charged_nano_usd for r in await second] == [3]
    assert alone.taken == []


async def test_without_a_reserve_settlements_leave_by_themselves() -> None:
    alone = Way()
    [result] = await Riders(alone, lambda: False)([settlement("a")])
    assert (result.charged_nano_usd, alone.taken) == (7, ["a"])


async def test_behind_a_reserve_that_is_not_answered_they_do_not_wait_for_ever() -> None:
    alone = Way()
    await Riders(alone, lambda: True)([settlement("a")])
    assert alone.taken == ["a"]


async def test_a_quota_that_does_not_book_them_gets_them_by_the_other_way(patient: None) -> None:
    alone = Way()
    made = Riders(alone, lambda: True)
    task = asyncio.create_task(made([settlement("a")]))
    (await boarded(made)).arrived([])
    assert len(await task) == 1
    assert alone.taken == ["a"]
    await made([settlement("b")])  # nor does it get the next ones along
    assert alone.taken == ["a", "b"]


async def test_where_the_ledger_cannot_be_asked_its_riders_hear_of_it(patient: None) -> None:
    alone = Way()
    made = Riders(alone, lambda: True)
    task = asyncio.create_task(made([settlement("a")]))
    (await boarded(made)).stranded(Unavailable("away"))
    with pytest.raises(Unavailable):
        await task
    assert alone.taken == []


async def test_what_becomes_of_a_reserve_is_not_blamed_on_its_riders(patient: None) -> None:
    class Stumbling(Booking):
        async def StreamReserveQuota(self, requests: Any, context: Any) -> Any:
            status = to_status(Internal("a stumble"))
            async for _ in requests:
                await context.abort(status.code, status.details, status.trailing_metadata)
            yield pb.ReserveQuotaResponse()

    replica = Stumbling()
    async with over(replica) as quota:
        settling = asyncio.create_task(quota.settle([settlement("a")]))
        await until(lambda: bool(quota._riders._waiting))
        with pytest.raises(Internal):
            await reserve(quota)
        assert len(await settling) == 1
    assert replica.called == ["a"]


async def test_no_rider_is_forgotten_by_a_reserve_that_is_cancelled(patient: None) -> None:
    replica = Booking()
    async with over(replica) as quota:
        settling = asyncio.create_task(quota.settle([settlement("a")]))
        await until(lambda: bool(quota._riders._waiting))
        leaving = asyncio.create_task(quota._reserve([pb.ReserveItem()]))
        await until(lambda: not quota._riders._waiting)
        leaving.cancel()
        assert len(await settling) == 1


async def test_a_rider_that_gave_up_hinders_nobody(patient: None) -> None:
    made = Riders(Way(), lambda: True)
    gone = asyncio.create_task(made([settlement("a")]))
    other = asyncio.create_task(made([settlement("b")]))
    party = await boarded(made)
    gone.cancel()
    await asyncio.wait((gone,))
    party.arrived(results(1, 2))
    assert [r.charged_nano_usd for r in await other] == [2]


async def test_many_at_once_do_not_delay_a_reserve(patient: None) -> None:
    alone = Way()
    made = Riders(alone, lambda: True)
    await made([settlement(str(n)) for n in range(129)])
    assert len(alone.taken) == 129


class Booking(Streaming):
    """Books what comes along with reserves; ``booked`` and ``called`` are ids by the way."""

    def __init__(self) -> None:
        super().__init__(answers)
        self.booked: list[str] = []
        self.called: list[str] = []

    async def StreamReserveQuota(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            self.heard += 1
            self.booked += [item.reservation_id for item in request.settlements]
            yield pb.ReserveQuotaResponse(
                results=[pb.ReserveResult() for _ in request.items],
                settlement_results=[pb.SettleResult() for _ in request.settlements],
            )

    async def StreamSettleReservations(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            self.called += [item.reservation_id for item in request.items]
            yield pb.SettleReservationsResponse(results=[pb.SettleResult() for _ in request.items])


async def test_a_settlement_travels_with_the_next_reserve(patient: None) -> None:
    replica = Booking()
    async with over(replica) as quota:
        settling = asyncio.create_task(quota.settle([settlement("a")]))
        await until(lambda: bool(quota._riders._waiting))
        await reserve(quota)
        assert len(await settling) == 1
    assert (replica.booked, replica.called) == (["a"], [])


async def test_an_older_quota_books_them_all_the_same() -> None:
    class Older(Booking):
        async def StreamReserveQuota(self, requests: Any, context: Any) -> Any:
            async for request in requests:
                yield pb.ReserveQuotaResponse(results=[pb.ReserveResult() for _ in request.items])

    replica = Older()
    async with over(replica) as quota:
        for n in range(5):
            settling = asyncio.create_task(quota.settle([settlement(str(n))]))
            await asyncio.sleep(0)
            await reserve(quota)
            assert len(await settling) == 1
    assert replica.called == [str(n) for n in range(5)]
