"""Processes die, stall and lose their connections under streaming load; then the books are read.

The simulator's log is the witness of what a provider delivered. Every request it saw has to be in
the journal exactly once: exactly priced where its edge lived, at most that where its edge died.
"""

import asyncio
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.accounts import booked, open_holds, witnessed
from tests.system.exact import CATALOG, NANO_PER_TOKEN
from tests.system.fault_proxy import FaultProxy
from tests.system.fleet import Fleet, fleet
from tests.system.process import Process
from tests.system.store import Store, store
from tests.torture.load import Asked, Load
from tests.waiting import wait_until

FAULTS = {
    "kv kill": 4,
    "kv freeze": 3,
    "quota kill": 3,
    "quota freeze": 2,
    "auth kill": 1,
    "edge kill": 3,
    "way stall": 2,
    "way reset": 3,
    "way cut": 3,
    "way half_close": 2,
    "way latency": 2,
}
"""And how often each is chosen."""


@dataclass
class Findings:
    faults: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    delivered: int = 0
    exact: int = 0
    cut: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    undercharged: int = 0
    edge_deaths: int = 0
    holds_resolved_s: float = 0.0
    proof: bool = False

    @property
    def good(self) -> bool:
        return self.proof and not (self.lost or self.doubled or self.wrong)

    def lines(self) -> list[str]:
        killed = f"{self.undercharged} nano-USD less than delivered over {self.edge_deaths} deaths"
        return [
            f"faults {self.faults.total()} ({dict(self.faults)})",
            f"requests {self.asked}, seen by the provider {self.delivered}: exact {self.exact}, "
            f"ended early {self.cut} ({killed})",
            f"lost {len(self.lost)}, doubled {len(self.doubled)}, wrong {len(self.wrong)}; "
            f"last hold resolved after {self.holds_resolved_s:.1f} s; proof {self.proof}",
            *self.lost[:5],
            *self.doubled[:5],
            *self.wrong[:5],
        ]


class Crash:
    def __init__(self, made: Fleet, kv: Store, way: FaultProxy, seed: int) -> None:
        self._fleet = made
        self._kv = kv
        self._way = way
        self._chosen = random.Random(seed)
        self._deaths: list[tuple[int, float]] = []
        self.findings = Findings()

    def run(self, *, faults: int, seconds: float, clients: int, seed: int) -> Findings:
        made = self._fleet
        org = made.organization("100000")
        key = made.key(made.user(org, "busy@example.com", "100000"))["api_key"]
        load = Load(made.urls, key, clients, seed)
        thread = threading.Thread(target=lambda: asyncio.run(load.run()))
        thread.start()
        until = time.monotonic() + seconds
        try:
            while self.findings.faults.total() < faults and time.monotonic() < until:
                time.sleep(self._chosen.uniform(0.05, 0.6))
                [name] = self._chosen.choices(list(FAULTS), list(FAULTS.values()))
                self._inflict(name)
                self.findings.faults[name] += 1
        finally:
            load.stopping = True
            thread.join(60)
        self._settle_down(org)
        self._judge(org, load.asked)
        return self.findings

    def _inflict(self, name: str) -> None:
        what, _, how = name.partition(" ")
        pause = self._chosen.uniform(0.0, 1.0)
        if what == "way":
            self._way.inflict(how)
            time.sleep(pause)
            self._way.heal()
        elif name == "kv kill":
            self._kv.kill()
            time.sleep(pause / 4)
            self._kv.start()
        elif name == "kv freeze":
            self._kv.freeze()
            time.sleep(pause)
            self._kv.thaw()
        elif how == "freeze":
            process = self._chosen.choice(self._fleet.quotas)
            process.signal(signal.SIGSTOP)
            time.sleep(pause)
            process.signal(signal.SIGCONT)
        else:
            self._kill(what)

    def _kill(self, what: str) -> None:
        fleet = self._fleet
        among: list[Process] = {"quota": fleet.quotas, "auth": fleet.auths, "edge": fleet.edges}[
            what
        ]
        number = self._chosen.randrange(len(among))
        if what == "edge":
            self._deaths.append((number, time.monotonic()))
            self.findings.edge_deaths += 1
        among[number].kill()
        among[number].start()
        wait_until(among[number].healthy, 60)

    def _settle_down(self, org: str) -> None:
        began = time.monotonic()
        wait_until(lambda: open_holds(self._fleet.kv_url, org) == 0, 60)
        self.findings.holds_resolved_s = time.monotonic() - began
        wait_until(lambda: self._quiet(org), 30)
        told = self._fleet.look(f"/organizations/{org}/verify")
        self.findings.proof = told["ok"]
        if not told["ok"]:
            self.findings.wrong.append(str(told))

    def _quiet(self, org: str) -> bool:
        """Whether the journal stands still."""
        before = booked(self._fleet.kv_url, org)
        time.sleep(1.0)
        return booked(self._fleet.kv_url, org) == before

    def _judge(self, org: str, asked: list[Asked]) -> None:
        found, accounts = self.findings, booked(self._fleet.kv_url, org)
        seen = witnessed(self._fleet.directory / "witness.jsonl")
        by_id = {one.request_id: one for one in asked if one.request_id}
        found.asked, found.delivered = len(asked), len(seen)
        for rid, records in seen.items():
            one, account = by_id.get(rid), accounts.get(rid)
            delivered = sum(r["completion_tokens"] for r in records) * NANO_PER_TOKEN
            if account is None or account.requests < 1:
                found.lost.append(f"lost {rid}: {account} delivered {delivered} {one}")
            elif account.requests > 1 or account.kinds.count("reserve") > 1:
                found.doubled.append(f"doubled {rid}: {account}")
            elif account.held != 0 or account.spent > max(delivered, _asked_for(records)):
                found.wrong.append(f"wrong {rid}: {account} delivered {delivered}")
            elif one is not None and one.complete and account.spent == one.tokens * NANO_PER_TOKEN:
                found.exact += 1
            elif (
                one is not None and one.complete and not one.met_the_death_of_its_edge(self._deaths)
            ):
                found.lost.append(f"undercharged {rid}: {account} {one}")
            else:
                found.cut += 1
                found.undercharged += max(0, delivered - account.spent)
        for rid, account in accounts.items():
            if rid not in seen and (account.spent != 0 or account.held != 0):
                found.wrong.append(f"charged, never delivered {rid}: {account}")


def _asked_for(records: list[dict[str, object]]) -> int:
    return max(int(str(r["completion_tokens"])) for r in records) * NANO_PER_TOKEN


def crash(
    directory: Path, *, seed: int, faults: int, seconds: float, clients: int = 16
) -> Findings:
    """Two edges, one quota behind a faulty way, one auth, one KV."""
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    ways: list[FaultProxy] = []

    def through(target: str) -> str:
        ways.append(FaultProxy(target, seed=seed))
        return ways[0].address

    settings = {"GATEWAY_CATALOG": str(catalog), "GATEWAY_CHECKPOINT_SECONDS": "1"}
    settings |= {"GATEWAY_SWEEP_SECONDS": "1", "GATEWAY_SIMULATOR_KEEP_BODIES": "false"}
    try:
        with (
            store(directory) as kv,
            fleet(edges=2, kv_url=kv.url, settings=settings, quota_way=through, waits={}) as made,
        ):
            run = Crash(made, kv, ways[0], seed)
            return run.run(faults=faults, seconds=seconds, clients=clients, seed=seed)
    finally:
        for way in ways:
            way.close()
