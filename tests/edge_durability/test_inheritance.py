"""What an edge that is gone left on a disk it shared: taken in once, by whoever lives."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.quota.v1.quota_pb2 import (
    SETTLE_OUTCOME_CHARGED,
    CheckpointReservationsResponse,
    GraceShare,
    ModelPrice,
    Owner,
    ReserveItem,
    SettleItem,
    SettleResult,
    TokenUsage,
)
from services.edge import grace_file, journal, slot
from services.edge.breaker import Breaker
from services.edge.grace import Grace
from services.edge.grace_book import GraceBook, day_of
from services.edge.grace_clock import Clock
from services.edge.grace_file import GraceFile
from services.edge.heartbeat import Heartbeat, look, take_in
from services.edge.journal import now_ms
from services.edge.outbox import Outbox
from services.edge.principal import Principal
from tests.waiting import until

DAY_MS = 86_400_000
OPEN = Principal(org_id="org_a", user_id="u", key_id="k", failure_mode="fail-open")


class Ledger:
    def __init__(self) -> None:
        self.booked: dict[str, SettleItem] = {}

    async def send(self, items: list[SettleItem]) -> Sequence[SettleResult]:
        for item in items:
            self.booked.setdefault(item.reservation_id, item)
        return [SettleResult() for _ in items]

    def settled(self, outcome: str) -> None:
        pass


async def unheard(*_: Any) -> None:
    pass


def grace(path: Path, outbox: Outbox) -> Grace:
    book = grace_file.load(path)
    file = GraceFile(path, book)
    made = Grace(
        book, file, outbox, unheard, edge_id=path.name, counted=lambda _: None, clock=Clock()
    )
    made.resume(book, outbox.known)
    return made


async def shared(made: Grace, nano: int) -> None:
    now = now_ms()
    end = (now // DAY_MS + 1) * DAY_MS
    share = GraceShare(org_id="org_a", day=day_of(now), share_nano_usd=nano, expire_time_ms=end)
    price = ModelPrice(model="m/m", input_price_pico_usd=1_000, output_price_pico_usd=1_000)
    made._book.hear(["org_a"], [share], [price])


def item(rid: str, tokens: int = 100) -> ReserveItem:
    return ReserveItem(
        reservation_id=rid,
        owner=Owner(org_id="org_a", user_id="u", key_id="k"),
        model="m/m",
        bound=TokenUsage(input_tokens=10, output_tokens=tokens),
        min_output_tokens=tokens,
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def died(path: Path, ledger: Ledger) -> None:
    """An edge that admitted two requests on its share, and died before either ended."""
    outbox = Outbox(path, ledger.send, ledger)
    made = grace(path, outbox)
    await shared(made, 300)
    for rid in ("r1", "r2"):
        assert await made.admit(OPEN, item(rid)) is not None
    assert await made.admit(OPEN, item("r3")) is None
    await outbox.drain(1)


def test_edges_that_start_together_each_have_a_directory_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = slot._locked
    others: list[slot.Slot | None] = []

    def beaten(path: Path) -> slot.Slot | None:
        """Somebody else looks between the making of a directory and its locking, three times."""
        if len(others) < 3 and not list(path.iterdir()):
            others.append(locked(path))
        return locked(path)

    monkeypatch.setattr(slot, "_locked", beaten)
    ours = slot.take(tmp_path)
    taken = [each for each in (ours, *others) if each is not None]
    assert len({each.edge_id for each in taken}) == 4
    for each in taken:
        each.release()


async def test_a_restarted_edge_books_what_ran_and_gets_no_second_share(
    tmp_path: Path, ledger: Ledger
) -> None:
    own = slot.take(tmp_path)
    await died(own.path, ledger)
    outbox = Outbox(own.path, ledger.send, ledger)
    again = grace(own.path, outbox)
    outbox.start()
    await shared(again, 300)
    assert await again.admit(OPEN, item("r4")) is None, "220 of 300 are gone"
    assert await again.admit(OPEN, item("r5", tokens=70)) is not None
    await again.close()
    assert await outbox.drain(5) == 0
    assert {rid: list(i.flags) for rid, i in ledger.booked.items()} == {
        "r1": ["unreconciled"],
        "r2": ["unreconciled"],
    }
    assert all(i.grace and i.usage.input_tokens == 10 for i in ledger.booked.values())
    own.release()


async def test_a_neighbour_books_what_ran_and_what_was_spent_stays_written_down(
    tmp_path: Path, ledger: Ledger
) -> None:
    gone, ours = slot.take(tmp_path), slot.take(tmp_path)
    await died(gone.path, ledger)
    gone.release()
    outbox = Outbox(ours.path, ledger.send, ledger)
    neighbour = grace(ours.path, outbox)
    [found] = slot.abandoned(tmp_path)
    await take_in(found, outbox, neighbour)
    assert await outbox.drain(5) == 0
    assert set(ledger.booked) == {"r1", "r2"}
    assert journal.segments(gone.path) == []
    book = grace_file.load(gone.path)
    assert (book.used("org_a", day_of(now_ms())), book.open) == (220, {})
    ours.release()


async def test_who_died_a_moment_ago_may_come_back_as_itself(
    tmp_path: Path, ledger: Ledger
) -> None:
    gone, ours = slot.take(tmp_path), slot.take(tmp_path)
    await died(gone.path, ledger)
    gone.release()
    outbox = Outbox(ours.path, ledger.send, ledger)
    neighbour = grace(ours.path, outbox)
    seen = await look(tmp_path, frozenset(), outbox, neighbour)
    assert seen == {gone.edge_id} and outbox.pending == 0
    again = slot.take(tmp_path)
    assert again.edge_id == gone.edge_id
    assert await look(tmp_path, seen, outbox, neighbour) == frozenset() and outbox.pending == 0
    again.release()
    seen = await look(tmp_path, frozenset(), outbox, neighbour)
    assert await look(tmp_path, seen, outbox, neighbour) == frozenset()
    assert await outbox.drain(5) == 0
    assert set(ledger.booked) == {"r1", "r2"}
    ours.release()


async def test_a_directory_with_nothing_to_remember_goes_away(
    tmp_path: Path, ledger: Ledger
) -> None:
    gone, ours = slot.take(tmp_path), slot.take(tmp_path)
    grace_file.replace(gone.path / grace_file.NAME, GraceBook().dump())
    gone.release()
    outbox = Outbox(ours.path, ledger.send, ledger)
    [found] = slot.abandoned(tmp_path)
    await take_in(found, outbox, grace(ours.path, outbox))
    assert not gone.path.exists()
    await outbox.drain(1)
    ours.release()


async def test_without_a_disk_no_share_is_spent(tmp_path: Path, ledger: Ledger) -> None:
    outbox = Outbox(None, ledger.send, ledger)
    made = Grace(
        GraceBook(), None, outbox, unheard, edge_id="e", counted=lambda _: None, clock=Clock()
    )
    await shared(made, 1_000)
    assert await made.admit(OPEN, item("r1")) is None


async def test_what_cannot_be_written_down_is_not_admitted_and_not_spent(
    tmp_path: Path, ledger: Ledger
) -> None:
    outbox = Outbox(tmp_path, ledger.send, ledger)
    made = Grace(
        book := GraceBook(),
        GraceFile(tmp_path / "gone", book),
        outbox,
        unheard,
        edge_id="e",
        counted=lambda _: None,
        clock=Clock(),
    )
    await shared(made, 1_000)
    assert await made.admit(OPEN, item("r1")) is None
    assert book.left("org_a", now_ms()) == 1_000
    await outbox.drain(1)


class SlowDisk:
    """An outbox whose disk takes its time."""

    def __init__(self) -> None:
        self.items: list[SettleItem] = []
        self.synced = asyncio.Event()

    def submit(self, item: SettleItem) -> None:
        self.items.append(item)

    async def flushed(self) -> None:
        await self.synced.wait()


async def test_the_book_keeps_a_request_until_the_outbox_has_it_on_disk(tmp_path: Path) -> None:
    outbox = SlowDisk()
    book = GraceBook()
    file = GraceFile(tmp_path, book)
    made = Grace(book, file, outbox, unheard, edge_id="e", counted=lambda _: None, clock=Clock())
    await shared(made, 1_000)
    grant = await made.admit(OPEN, item("r1"))
    assert grant is not None
    used = SettleItem(reservation_id="r1", model="m/m", grace=True)
    used.outcome = SETTLE_OUTCOME_CHARGED
    used.usage.output_tokens = 5
    made.submit(used)
    await file.save()  # as another admission would
    assert set(grace_file.load(tmp_path).open) == {"r1"}, "died now: nobody would know of it"
    outbox.synced.set()
    await until(lambda: not grace_file.load(tmp_path).open)
    assert grace_file.load(tmp_path).used("org_a", day_of(now_ms())) == 5
    await made.close()


@pytest.mark.parametrize("outage", [False, True])
async def test_an_edge_that_stops_gives_back_what_it_has_not_spent_but_in_an_outage(
    tmp_path: Path, ledger: Ledger, outage: bool
) -> None:
    outbox = Outbox(tmp_path, ledger.send, ledger)
    made, breaker, told = grace(tmp_path, outbox), Breaker("quota"), list[GraceShare]()
    await shared(made, 300)
    assert await made.admit(OPEN, item("r1")) is not None

    async def give_back(shares: list[GraceShare]) -> None:
        assert grace_file.load(tmp_path).shares == {}, "on disk before others may have it"
        told.extend(shares)

    async def beat(orgs: list[str], models: list[str]) -> CheckpointReservationsResponse:
        return CheckpointReservationsResponse()

    heartbeat = Heartbeat(beat, give_back, breaker, outbox, made, every=5)
    if outage:
        breaker.failed(1.0)
    await heartbeat.close()
    today = day_of(now_ms())
    left = grace_file.load(tmp_path)
    assert left.used("org_a", today) == 110
    if outage:
        assert told == [] and left.left("org_a", now_ms()) == 190
    else:
        assert [(s.org_id, s.day, s.share_nano_usd) for s in told] == [("org_a", today, 110)]
        assert left.left("org_a", now_ms()) == 0
    await made.close()
    await outbox.drain(1)


async def test_who_fails_closed_has_no_share(tmp_path: Path, ledger: Ledger) -> None:
    outbox = Outbox(tmp_path, ledger.send, ledger)
    made = grace(tmp_path, outbox)
    await shared(made, 1_000)
    closed = Principal(org_id="org_a", failure_mode="fail-closed")
    assert await made.admit(closed, item("r1")) is None
    await outbox.drain(1)
