"""An append-only file in segments, written and synced by a thread of its own.

``append`` never waits: what gathers while one batch is on its way to the disk is the next one. Each
record carries its length, its checksum and its time; whatever does not add up at the end of a
segment was being written when the process died, and is left out.

A disk that is full or gone does not stop anything: records wait in memory until it takes them.
"""

import asyncio
import contextlib
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from services.common.logs import logger

log = logger("journal")

SEGMENT_BYTES = 4 << 20
GATHER_SECONDS = 0.05
"""How long a record may wait for company, unless somebody waits for the disk: one sync for each
would cost more than the rest of a request."""

_HEAD = struct.Struct("<II")
_TIME = struct.Struct("<Q")
_AGAIN_SECONDS = 1.0
_SUFFIX = ".log"

Clock = Callable[[], int]


class Record(NamedTuple):
    time_ms: int
    body: bytes


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """The segments in ``directory``. ``close`` or ``kill -9`` end it; records are read back by
    ``read``. ``write`` and ``sync`` stand for the disk's, so that tests can break it."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock = now_ms,
        segment_bytes: int = SEGMENT_BYTES,
        write: Callable[[int, memoryview], int] = os.write,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._write = write
        self._sync = sync
        self._file = -1
        self._size = 0
        self._number = max((_number(path) for path in segments(directory)), default=0)
        self._inbox: SimpleQueue[bytes | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()
        self.failing = False

    def append(self, body: bytes) -> None:
        """Take a record; it is on the disk soon."""
        stamped = _TIME.pack(self._clock()) + body
        self._inbox.put(_HEAD.pack(len(stamped), zlib.crc32(stamped)) + stamped)

    async def flushed(self) -> None:
        """Wait until everything appended so far is on the disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not done.done():
                done.set_result(None)

        self._inbox.put(partial(_in_loop, loop, tell))
        await done

    def forget(self, before_ms: int) -> None:
        """Delete closed segments that were last written before this moment."""
        for path in segments(self._directory):
            if _number(path) < self._number and path.stat().st_mtime * 1_000 < before_ms:
                path.unlink(missing_ok=True)

    def close(self, seconds: float = 2.0) -> bool:
        """Write what is left; answers whether all of it is on the disk."""
        self._inbox.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        waiting: list[Callable[[], None]] = []
        pending = b""
        ending = False
        while not (ending and not pending):
            taken = [self._inbox.get()] if not pending else []
            if taken and isinstance(taken[0], bytes):
                time.sleep(GATHER_SECONDS)
            while not self._inbox.empty():
                taken.append(self._inbox.get())
            ending = ending or None in taken
            waiting += [item for item in taken if callable(item)]
            pending += b"".join(item for item in taken if isinstance(item, bytes))
            if self._put(pending):
                pending = b""
                for tell in waiting:
                    tell()
                waiting.clear()
            elif ending:
                break
            else:
                time.sleep(_AGAIN_SECONDS)
        if self._file >= 0:
            os.close(self._file)

    def _put(self, data: bytes) -> bool:
        """Write and sync a batch; a batch that failed half-way goes to a new segment as a whole."""
        if not data:
            return True
        try:
            if self._file < 0 or self._size >= self._segment_bytes:
                self._open()
            left = memoryview(data)
            while left:
                left = left[self._write(self._file, left) :]
            self._sync(self._file)
        except OSError as error:
            self._failed(error)
            return False
        self._size += len(data)
        if self.failing:
            self.failing = False
            log.warning("journal_recovered", directory=str(self._directory))
        return True

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        path = self._directory / f"{self._number + 1:012d}{_SUFFIX}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self._number += 1
        self._size = 0
        directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _failed(self, error: OSError) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if not self.failing:
            self.failing = True
            log.error(
                "journal_failing",
                directory=str(self._directory),
                cause=str(error),
                hint="settlements are kept in memory only; free or repair the disk",
            )


def _in_loop(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop may be closed
        loop.call_soon_threadsafe(tell)


def segments(directory: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in directory.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def read(directory: Path) -> Iterator[Record]:
    """Every whole record, oldest first."""
    for path in segments(directory):
        yield from _read(path)


def _read(path: Path) -> Iterator[Record]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(body) < max(length, _TIME.size) or zlib.crc32(body) != checksum:
            break
        yield Record(_TIME.unpack_from(body)[0], body[_TIME.size :])
        at += _HEAD.size + length
    if at < len(data):
        log.warning("journal_torn", segment=str(path), bytes_left_out=len(data) - at)


def _number(path: Path) -> int:
    return int(path.stem)
