"""How long callers wait while the KV is frozen, and how soon all is well after it thaws.

The first of them come at once, or after a while in which nobody asked; one of them goes on asking
for longer than an edge takes to look whether all is well again.
"""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.exact import CATALOG, body
from tests.system.fleet import Fleet, fleet
from tests.system.store import store
from tests.waiting import wait_until


@dataclass
class Waits:
    """Milliseconds."""

    first: list[float] = field(default_factory=list)
    then: list[float] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    @property
    def bounded(self) -> bool:
        """Whether nobody waited longer than is promised; a busy machine may add as much again."""
        return max(self.first) <= 600 and sorted(self.then)[int(len(self.then) * 0.99)] <= 10

    def lines(self) -> list[str]:
        then = sorted(self.then)
        return [
            f"frozen KV, {len(self.recovery)} rounds, {len(then)} calls: first answers at most "
            f"{max(self.first):.0f} ms, then p50 {then[len(then) // 2]:.1f} ms, p99 "
            f"{then[int(len(then) * 0.99)]:.1f} ms, at most {then[-1]:.1f} ms; recovery at most "
            f"{max(self.recovery):.0f} ms (all statuses: {self.statuses})"
        ]


class Caller:
    """One connection."""

    def __init__(self, made: Fleet, key: str) -> None:
        host, _, port = made.edges[0].address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._body = json.dumps(body(1))

    def ask(self) -> tuple[int, float]:
        """Status and milliseconds."""
        began = time.perf_counter()
        self._connection.request("POST", "/v1/chat/completions", self._body, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, (time.perf_counter() - began) * 1_000


IDLE_SECONDS = (0.0, 0.3, 1.0, 2.0, 3.5, 6.5)
"""How long nobody asks after the KV froze, round by round."""

WELL_SECONDS = 0.5
"""So long all is well before the next round: quota has seen that the KV is back."""


def frozen(directory: Path, *, rounds: int, callers: int = 4, seconds: float = 0.7) -> Waits:
    """``callers`` at once find the KV frozen; one of them goes on asking."""
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    waits = Waits()
    settings = {"GATEWAY_CATALOG": str(catalog)}
    with (
        store(directory) as kv,
        fleet(kv_url=kv.url, settings=settings, waits={}) as made,
    ):
        key = made.key(made.user(made.organization(), "waits@example.com"))["api_key"]
        asking = [Caller(made, key) for _ in range(callers)]
        for number in range(rounds):
            for one in asking:
                wait_until(lambda one=one: one.ask()[0] == 200)  # type: ignore[misc]
            kv.freeze()
            try:
                time.sleep(IDLE_SECONDS[number % len(IDLE_SECONDS)])
                _first(asking, waits)
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    status, took = asking[0].ask()
                    waits.then.append(took)
                    waits.statuses.add(status)
            finally:
                kv.thaw()
            began = time.perf_counter()
            wait_until(lambda: asking[0].ask()[0] == 200)
            waits.recovery.append((time.perf_counter() - began) * 1_000)
            time.sleep(WELL_SECONDS)
    return waits


def _first(asking: list[Caller], waits: Waits) -> None:
    def ask(one: Caller) -> None:
        status, took = one.ask()
        waits.first.append(took)
        waits.statuses.add(status)

    threads = [threading.Thread(target=ask, args=(one,)) for one in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
