"""What the journal promises: whole records, in order, whatever the disk and the process do."""

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest

from services.edge import journal
from services.edge.journal import Journal
from tests.waiting import until

SEED = 20261123


def bodies(directory: Path) -> list[bytes]:
    return [record.body for record in journal.read(directory)]


async def test_what_was_flushed_is_read_back_in_order(tmp_path: Path) -> None:
    made = Journal(tmp_path, segment_bytes=1_000)
    written = [os.urandom(n % 97) for n in range(300)]
    for number, body in enumerate(written):
        made.append(body)
        if number % 50 == 0:
            await made.flushed()
    await made.flushed()
    assert bodies(tmp_path) == written
    assert len(journal.segments(tmp_path)) > 3
    assert made.close()


async def test_a_torn_tail_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    for number in range(5):
        made.append(b"record %d" % number)
    assert made.close()
    [segment] = journal.segments(tmp_path)
    whole = segment.read_bytes()
    size = len(whole) // 5
    for end in range(len(whole)):
        segment.write_bytes(whole[:end])
        assert bodies(tmp_path) == [b"record %d" % n for n in range(end // size)]


async def test_a_flipped_bit_never_yields_a_wrong_record(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    written = [b"record %d" % number for number in range(5)]
    for body in written:
        made.append(body)
    assert made.close()
    [segment] = journal.segments(tmp_path)
    whole = segment.read_bytes()
    chosen = random.Random(SEED)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        segment.write_bytes(damaged)
        found = bodies(tmp_path)
        assert found == written[: len(found)]


async def test_the_next_process_writes_behind_a_torn_tail(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.append(b"whole")
    assert first.close()
    [segment] = journal.segments(tmp_path)
    segment.write_bytes(segment.read_bytes() + b"\x20\0\0\0torn")
    second = Journal(tmp_path)
    second.append(b"next")
    assert second.close()
    assert bodies(tmp_path) == [b"whole", b"next"]


async def test_a_full_disk_loses_nothing_once_it_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_AGAIN_SECONDS", 0.01)
    full = True

    def write(file: int, data: memoryview) -> int:
        if full:
            os.write(file, data[:3])  # half a record reaches the disk
            raise OSError(errno.ENOSPC, "no space left on device")
        return os.write(file, data)

    made = Journal(tmp_path, write=write)
    for number in range(10):
        made.append(b"%d" % number)
    await until(lambda: made.failing)
    waiting = asyncio.create_task(made.flushed())
    made.append(b"last")
    full = False
    async with asyncio.timeout(10):
        await waiting
        await made.flushed()
    assert not made.failing
    assert bodies(tmp_path) == [*(b"%d" % number for number in range(10)), b"last"]
    assert made.close()


async def test_old_closed_segments_are_forgotten_and_the_open_one_is_kept(tmp_path: Path) -> None:
    made = Journal(tmp_path, segment_bytes=100)
    for number in range(10):
        made.append(b"x" * 60 + b"%d" % number)
        await made.flushed()
    kept = journal.segments(tmp_path)[-1]
    made.forget(journal.now_ms() + 60_000)
    assert journal.segments(tmp_path) == [kept]
    assert made.close()
