"""What the outbox promises: everything handed over is booked, by this process or by the next."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.quota.v1.quota_pb2 import (
    SETTLE_OUTCOME_CHARGED,
    Refusal,
    SettleItem,
    SettleResult,
)
from services.common.errors import Internal, InvalidField, Unavailable
from services.edge import journal, outbox_log, slot
from services.edge import outbox as outbox_module
from services.edge.outbox import Outbox
from tests.waiting import until


class Ledger:
    """Books each id once and counts what it is asked."""

    def __init__(self) -> None:
        self.away = False
        self.struck: set[str] = set()
        self.booked: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.poison: dict[str, Exception] = {}

    async def send(self, items: list[SettleItem]) -> Sequence[SettleResult]:
        await asyncio.sleep(0)
        if self.away or any(item.owner.org_id in self.struck for item in items):
            raise Unavailable("away")
        for item in items:
            if item.reservation_id in self.poison:
                raise self.poison[item.reservation_id]
        results = []
        for item in items:
            self.asked[item.reservation_id] += 1
            duplicate = item.reservation_id in self.booked
            self.booked.setdefault(item.reservation_id, item.usage.output_tokens)
            results.append(SettleResult(duplicate=duplicate))
        return results

    def settled(self, outcome: str) -> None:
        self.outcomes[outcome] += 1


@dataclass
class FakeClock:
    now: int = field(default_factory=journal.now_ms)

    def __call__(self) -> int:
        return self.now


def age(directory: Path, clock: FakeClock) -> None:
    """Make the files as old as their newest record says."""
    for path in journal.segments(directory):
        written = max((record.time_ms for record in journal._read(path)), default=clock.now)
        os.utime(path, (written / 1_000, written / 1_000))


def item(number: int) -> SettleItem:
    made = SettleItem(reservation_id=f"r{number}", outcome=SETTLE_OUTCOME_CHARGED)
    made.usage.output_tokens = number
    return made


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture(autouse=True)
async def quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE", 0.005)
    yield


def made(directory: Path | None, ledger: Ledger) -> Outbox:
    return Outbox(directory, ledger.send, ledger)


ALL = {f"r{number}": number for number in range(500)}


async def test_items_are_booked_once_each(tmp_path: Path, ledger: Ledger) -> None:
    outbox = made(tmp_path, ledger)
    for number in range(500):
        outbox.submit(item(number))
    assert await outbox.drain(10) == 0
    assert ledger.booked == ALL
    assert set(ledger.asked.values()) == {1}


async def test_what_a_dead_process_did_not_book_the_next_one_books(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.away = True
    first = made(tmp_path, ledger)
    for number in range(500):
        first.submit(item(number))
    await first.flushed()  # from here on, kill -9 loses nothing; this one just never comes back
    ledger.away = False
    second = made(tmp_path, ledger)
    second.start()
    assert second.known == set(ALL)
    assert await second.drain(10) == 0
    assert ledger.booked == ALL
    await first.drain(0)


async def test_what_was_booked_lately_is_sent_again_after_a_restart_and_not_counted_twice(
    tmp_path: Path, ledger: Ledger
) -> None:
    first = made(tmp_path, ledger)
    for number in range(500):
        first.submit(item(number))
    assert await first.drain(10) == 0
    ledger.booked.clear()  # a KV that lost its last moments
    second = made(tmp_path, ledger)
    second.start()
    assert await second.drain(10) == 0
    assert ledger.booked == ALL
    assert set(ledger.asked.values()) == {2}


async def test_another_epoch_of_the_kv_makes_it_send_the_last_minutes_again(
    tmp_path: Path, ledger: Ledger
) -> None:
    outbox = made(tmp_path, ledger)
    outbox.heard("one")
    for number in range(500):
        outbox.submit(item(number))
    await until(lambda: not outbox.pending)
    ledger.booked.clear()
    outbox.heard("one")
    outbox.heard("")
    assert not ledger.booked
    outbox.heard("two")
    assert await outbox.drain(10) == 0
    assert ledger.booked == ALL


async def test_what_is_older_than_the_window_is_not_sent_again(
    tmp_path: Path, ledger: Ledger
) -> None:
    first = made(tmp_path, ledger)
    first.submit(item(1))
    assert await first.drain(10) == 0
    later = outbox_log.KEPT_MS + 60_000
    second = Outbox(tmp_path, ledger.send, ledger, clock=lambda: journal.now_ms() + later)
    second.start()
    assert await second.drain(10) == 0
    assert ledger.asked == {"r1": 1}


async def test_what_waited_out_an_outage_is_kept_as_long_as_what_did_not(
    tmp_path: Path, ledger: Ledger
) -> None:
    clock, minute = FakeClock(), 60_000
    outbox = Outbox(tmp_path, ledger.send, ledger, clock=clock)
    assert outbox._journal is not None
    outbox._journal._segment_bytes = 1  # each batch has a file of its own
    outbox.heard("one")
    ledger.away = True
    outbox.submit(item(1))
    await outbox.flushed()
    clock.now += 3 * outbox_log.KEPT_MS
    ledger.away = False
    await until(lambda: not outbox.pending)
    await outbox.flushed()
    for waited in (0, outbox_log.KEPT_MS - minute):
        clock.now += waited
        again = Outbox(tmp_path, ledger.send, ledger, clock=clock)
        again.submit(item(2))  # into a segment of its own
        await until(lambda again=again: not again.pending)  # type: ignore[misc]
        await again.flushed()
        for one in (outbox, again):
            age(tmp_path, clock)
            one.tidy()
        ledger.booked.clear()  # a KV that lost its last moments, as KVs do that come back
        again.heard("one")
        again.heard(f"two, after {waited}")
        assert await again.drain(10) == 0
        assert "r1" in ledger.booked
    clock.now += 2 * outbox_log.KEPT_MS
    age(tmp_path, clock)
    outbox.tidy()
    assert outbox_log.restore(tmp_path, clock.now).booked == []
    await outbox.drain(1)


async def test_an_item_the_ledger_refuses_is_set_aside_and_holds_nobody_up(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.poison = {"r3": InvalidField("usage", "is wrong"), "r5": Internal("a bug")}
    outbox = made(tmp_path, ledger)
    for number in range(10):
        outbox.submit(item(number))
    assert await outbox.drain(10) == 0
    assert set(ledger.booked) == {f"r{n}" for n in range(10)} - {"r3", "r5"}
    aside = (tmp_path / "refused.jsonl").read_text()
    assert aside.count("\n") == 2
    assert "r3" in aside and "FIELD_INVALID" in aside and "r5" in aside


async def test_an_organisation_whose_kv_is_away_holds_nobody_up(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.struck = {"org_struck"}
    outbox = made(tmp_path, ledger)
    for number in range(500):
        one = item(number)
        one.owner.org_id = "org_struck" if number % 10 == 0 else "org_well"
        outbox.submit(one)
    await until(lambda: len(ledger.booked) == 450)
    assert outbox.pending >= 50
    await outbox.flushed()
    again = Ledger()
    second = made(tmp_path, again)  # died now: nothing that waits is lost
    second.start()
    assert await second.drain(10) == 0
    assert {rid for rid in ALL if int(rid[1:]) % 10 == 0} <= set(again.booked)
    ledger.struck = set()
    assert await outbox.drain(10) == 0
    assert ledger.booked == ALL


async def test_a_refusal_as_a_result_is_set_aside(tmp_path: Path, ledger: Ledger) -> None:
    async def refuse(items: list[SettleItem]) -> Sequence[SettleResult]:
        return [SettleResult(refusal=Refusal(reason="PRECONDITION_FAILED")) for _ in items]

    outbox = Outbox(tmp_path, refuse, ledger)
    outbox.submit(item(1))
    assert await outbox.drain(10) == 0
    assert "PRECONDITION_FAILED" in (tmp_path / "refused.jsonl").read_text()
    assert ledger.outcomes == {"refused": 1}


async def test_without_a_disk_items_are_booked_from_memory(ledger: Ledger) -> None:
    outbox = made(None, ledger)
    assert not outbox.durable
    for number in range(500):
        outbox.submit(item(number))
    assert await outbox.drain(10) == 0
    assert ledger.booked == ALL


async def test_what_an_edge_left_is_adopted_by_its_neighbour(
    tmp_path: Path, ledger: Ledger
) -> None:
    gone, ours = slot.take(tmp_path), slot.take(tmp_path)
    assert gone.edge_id != ours.edge_id
    ledger.away = True
    first = made(gone.path, ledger)
    for number in range(500):
        first.submit(item(number))
    await first.flushed()
    gone.release()  # as the end of its process would
    outbox = made(ours.path, ledger)
    [found] = slot.abandoned(tmp_path)
    assert found.path == gone.path
    assert outbox.adopt(found.path) == 500
    ledger.away = False
    assert await outbox.drain(10) == 0
    assert ledger.booked == ALL
    found.release()
    await first.drain(0)
    ours.release()


def test_a_living_edge_keeps_its_directory_and_a_restarted_one_gets_it_back(
    tmp_path: Path,
) -> None:
    first, second = slot.take(tmp_path), slot.take(tmp_path)
    assert list(slot.abandoned(tmp_path)) == []
    first.release()
    again = slot.take(tmp_path)
    assert again.edge_id == first.edge_id
    again.release()
    second.release()


def test_an_empty_directory_can_be_removed_and_one_that_holds_something_cannot(
    tmp_path: Path,
) -> None:
    made = slot.take(tmp_path)
    (made.path / "grace.json").touch()
    made.remove()
    assert made.path.exists()
    [found] = slot.abandoned(tmp_path)
    (found.path / "grace.json").unlink()
    found.remove()
    assert not made.path.exists()
