"""A primary, a replica and a Sentinel on loopback, of which the primary can be killed."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from services.launch.kv import find_server
from tests.system.kv_cluster import free_ports, wait_until

NAME = "ledger"


class Replicated:
    """A primary, a replica and a Sentinel that watches them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.primary, self.replica, self.sentinel = free_ports(3)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel}/{NAME}"

    def start(self) -> None:
        data = ["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"]
        self._run(self.primary, *data)
        self._run(self.replica, *data, "--replicaof", f"127.0.0.1 {self.primary}")
        wait_until(lambda: self.ask(self.replica, "ROLE")[3] == "connected", "the replica follows")
        config = self.directory / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary} 1\n"
            f"sentinel down-after-milliseconds {NAME} 300\n"
            f"sentinel failover-timeout {NAME} 2000\n"
        )
        self._run(self.sentinel, str(config), "--sentinel")
        wait_until(lambda: len(self.ask(self.sentinel, "SENTINEL", "REPLICAS", NAME)) == 1, "seen")

    def _run(self, port: int, *words: str) -> None:
        own = self.directory / str(port)
        own.mkdir()
        config = [word for word in words if word.endswith(".conf")]
        rest = [word for word in words if not word.endswith(".conf")]
        command = [str(find_server().path), *config, "--port", str(port), "--dir", str(own)]
        with (own / "log").open("wb") as output:
            self._processes[port] = subprocess.Popen(
                [*command, "--bind", "127.0.0.1", *rest], stdout=output, stderr=output
            )
        wait_until(lambda: self._answers(port), f"port {port}")

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.ask(port, "PING"))
        except redis.ConnectionError:
            return False

    def ask(self, port: int, *args: str) -> Any:
        with redis.Redis(port=port, protocol=3, decode_responses=True) as client:
            return client.execute_command(*args)

    def kill_primary(self) -> None:
        self._processes[self.primary].kill()
        self._processes[self.primary].wait(10)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)


@contextmanager
def running() -> Iterator[Replicated]:
    """For the length of a ``with``."""
    with tempfile.TemporaryDirectory(prefix="kvs-") as made:
        replicated = Replicated(Path(made))
        try:
            replicated.start()
            yield replicated
        finally:
            replicated.stop()
