"""A directory that one edge process owns: its name is the edge's id, its lock says who lives.

Whatever an edge must not forget lies there. A process that starts takes the first directory whose
owner is gone, so that a restarted edge is the same edge: with its unsent settlements, and without a
second fail-open share. Several edges on one data directory each have their own.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from services.common.logs import logger

log = logger("edge")

_LOCK = "lock"
_TRIES = 100
"""An edge that starts beside us may take a new directory of ours, which nobody has locked yet."""


class Slot:
    """An owned directory, until ``release``."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @property
    def edge_id(self) -> str:
        return self.path.name

    def release(self) -> None:
        """Let others have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Delete it, if nothing but the lock is left in it, and let it go."""
        if [entry.name for entry in self.path.iterdir()] == [_LOCK]:
            (self.path / _LOCK).unlink()
            self.path.rmdir()
        self.release()


def take(data_dir: Path) -> Slot:
    """An abandoned directory, or a new one. Raises OSError where nothing can be written."""
    (data_dir / "edges").mkdir(parents=True, exist_ok=True, mode=0o700)
    for _ in range(_TRIES):
        for slot in abandoned(data_dir):
            return slot
        path = data_dir / "edges" / f"edge_{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        taken = _locked(path)
        if taken is not None:
            return taken
    raise OSError(f"{path} was taken by somebody else")


def abandoned(data_dir: Path) -> Iterator[Slot]:
    """Each directory whose owner is gone; the caller owns it until it lets it go."""
    for path in sorted((data_dir / "edges").glob("edge_*")):
        slot = _locked(path)
        if slot is not None:
            yield slot


def _locked(path: Path) -> Slot | None:
    try:
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return None  # removed, or not ours to read
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == (path / _LOCK).stat().st_ino:
            return Slot(path, lock)
    except OSError:
        pass
    os.close(lock)
    return None


def own(data_dir: Path) -> Slot | None:
    """As ``take``; None, said in the log, where nothing can be written."""
    try:
        return take(data_dir)
    except OSError as error:
        hint = "settlements are kept in memory only and no share can be used in an outage"
        log.error("data_dir_unusable", GATEWAY_DATA_DIR=str(data_dir), cause=str(error), hint=hint)
        return None
