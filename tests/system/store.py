"""A Valkey that a test may kill, freeze and start again on the same data."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.launch import kv

_START_SECONDS = 20.0


class Store:
    def __init__(self, directory: Path, socket: Path) -> None:
        self._command = kv.find_server().command(directory, socket)
        self._socket = socket
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Answers once it serves."""
        self._popen = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_SECONDS
        while not kv.answers(self._socket):
            assert time.monotonic() < deadline, "the KV did not start"
            time.sleep(0.005)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        assert self._popen is not None
        self._popen.wait(10)

    def stop(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self.thaw()
            self._popen.terminate()
            self._popen.wait(_START_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)


@contextmanager
def store(directory: Path) -> Iterator[Store]:
    """A running one."""
    with kv.socket_path(directory) as socket:
        made = Store(directory / "kv", socket)
        made.start()
        try:
            yield made
        finally:
            made.stop()
