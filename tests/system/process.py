"""One service process of a test: it can be killed, frozen and started again."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

from services.common.probe import serving
from services.common.tls import Identity

START_SECONDS = 60.0


@dataclass
class Process:
    """One service process; it can be killed, frozen and started again on the same address."""

    name: str
    service: str
    environment: dict[str, str]
    address: str
    log: Path
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.service}"],
                env=self.environment,
                stdout=output,
                stderr=output,
            )

    def healthy(self) -> bool:
        assert self.popen is not None
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log.read_text()[-4_000:]}")
        if self.service in ("auth", "quota"):
            return serving(self.address, identity=self.identity)
        path = "/readyz" if self.service == "edge" else "/healthz"
        try:
            return httpx.get(f"http://{self.address}{path}", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def identity(self) -> Identity | None:
        """The certificate it speaks with, when it was given one."""
        parts = [self.environment.get(f"GATEWAY_TLS_{name}", "") for name in ("CERT", "KEY", "CA")]
        return Identity(*parts) if all(parts) else None

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.healthy():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not healthy:\n{self.log.read_text()[-4_000:]}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        assert self.popen is not None
        self.popen.kill()
        self.popen.wait(10)

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        assert self.popen is not None
        self.popen.terminate()
        return self.popen.wait(seconds)

    def restart(self) -> None:
        self.start()
        self.wait_healthy()
