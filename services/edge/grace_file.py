"""The book of fail-open spending on disk: replaced as a whole, synced before it is relied on."""

import asyncio
import os
from pathlib import Path

from services.common.logs import logger
from services.edge.grace_book import GraceBook, day_of
from services.edge.journal import now_ms

log = logger("grace")

NAME = "grace.json"


class GraceFile:
    """Saves gather: while one is on its way to the disk, what changes is in the next."""

    def __init__(self, directory: Path, book: GraceBook) -> None:
        self._path = directory / NAME
        self._book = book
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    async def save(self) -> None:
        """The book as it is now, on disk. Raises OSError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(done)

    async def _write(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    await asyncio.to_thread(replace, self._path, self._book.dump())
                except OSError as error:
                    log.error("grace_not_saved", cause=str(error))
                    _tell(waiting, error)
                else:
                    _tell(waiting, None)
        finally:
            self._writer = None


def load(directory: Path) -> GraceBook:
    """What an earlier process left; an empty book where there is none. One that cannot be read may
    have spent everything: then nothing more is spent today."""
    try:
        return GraceBook.load((directory / NAME).read_bytes())
    except FileNotFoundError:
        return GraceBook()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("grace_unreadable", file=str(directory / NAME), cause=str(error))
        return GraceBook(barred=day_of(now_ms()))


def replace(path: Path, data: bytes) -> None:
    """The file has either its old content or all of the new one, whenever we die."""
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _tell(waiting: list[asyncio.Future[None]], error: OSError | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
