"""The data directory: one launcher at a time, and keys that are made once and kept 0600."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.settings import SettingsError

KEY_FILES = {
    "ADMIN_API_KEY": "admin_api_key",
    "GATEWAY_SERVICE_TOKEN": "service_token",
    "GATEWAY_MASTER_KEY": "master_key",
}


@contextmanager
def hold(directory: Path) -> Iterator[int]:
    """Make the directory (0700) and hold its lock; gives the lock's file descriptor.

    The KV inherits the descriptor, so the lock outlives a launcher that was killed for as long
    as its KV still writes there. Raises SettingsError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR: cannot write in {directory}: {error.strerror}"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(_who_holds(directory, lock)) from None
        note_pids(lock, os.getpid())
        yield lock
    finally:
        os.close(lock)


def note_pids(lock: int, *pids: int) -> None:
    """Write down who holds the lock: the launcher, then its KV."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, " ".join(map(str, pids)).encode(), 0)


def _who_holds(directory: Path, lock: int) -> str:
    launcher, *kv = os.pread(lock, 64, 0).decode().split() or ["?"]
    alive = launcher.isdigit() and _alive(int(launcher))
    if kv and not alive:
        return (
            f"{directory} is still in use by the KV of a gateway that was killed: "
            f"stop it with `kill {kv[0]}`, then start again"
        )
    return (
        f"another gateway (process {launcher}) runs on {directory}: stop it, "
        "or set GATEWAY_DATA_DIR to another directory"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kept_key(path: Path) -> str:
    """The key in this file; made at the first call: 64 hexadecimal digits, 32 random bytes."""
    try:
        known = path.read_text().strip()
    except FileNotFoundError:
        known = ""
    if known:
        path.chmod(0o600)
        return known
    fresh = secrets.token_hex(32)
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(fresh + "\n")
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    return fresh
