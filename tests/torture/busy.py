"""A machine that is far too busy, and a ledger that is well: requests wait, none is refused."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from tests.system.exact import CATALOG, body
from tests.system.fleet import fleet

_BURN = (
    "import sys, time\nuntil = time.time() + float(sys.argv[1])\nwhile time.time() < until: pass"
)


@dataclass
class Crowd:
    clients: int
    burning: int
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return set(self.statuses) == {200}

    def lines(self) -> list[str]:
        waits = sorted(self.seconds)
        return [
            f"{self.clients} clients at once beside {self.burning} processes that only burn time: "
            f"answers {dict(self.statuses)}, after {waits[len(waits) // 2]:.1f} s (median), at "
            f"most {waits[-1]:.1f} s"
        ]


def busy(directory: Path, *, seconds: float, clients: int = 200) -> Crowd:
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    crowd = Crowd(clients, burning=4 * (os.cpu_count() or 1))
    with fleet(settings={"GATEWAY_CATALOG": str(catalog)}, waits={}) as made:
        user = made.user(made.organization("100000"), "crowd@example.com", "100000")
        key = made.key(user)["api_key"]
        command = [sys.executable, "-c", _BURN, str(seconds + 30)]
        burning = [subprocess.Popen(command) for _ in range(crowd.burning)]
        try:
            asyncio.run(_ask(crowd, made.urls[0], key, time.monotonic() + seconds))
        finally:
            for process in burning:
                process.kill()
                process.wait()
    return crowd


async def _ask(crowd: Crowd, url: str, key: str, until: float) -> None:
    limits = httpx.Limits(max_connections=crowd.clients)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def one() -> None:
            while time.monotonic() < until:
                began = time.monotonic()
                answer = await client.post(
                    f"{url}/v1/chat/completions",
                    json=body(20),
                    headers={"authorization": f"Bearer {key}"},
                )
                crowd.seconds.append(time.monotonic() - began)
                crowd.statuses[answer.status_code] += 1

        await asyncio.gather(*(one() for _ in range(crowd.clients)))
