"""Three edges, quota gone, an organisation that fails open: never more than its daily limit, over
all edges, restarts included, and every cent of it in the books afterwards."""

import asyncio
import json
import random
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx2 as httpx

from tests.system.accounts import booked, open_holds
from tests.system.exact import CATALOG, NANO_PER_TOKEN, body
from tests.system.fleet import Fleet, fleet
from tests.waiting import wait_until


@dataclass
class Rounds:
    """Nano-USD."""

    limits: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    admitted: int = 0
    refused: int = 0
    deaths: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        within = all(s <= limit for s, limit in zip(self.spent, self.limits, strict=True))
        return within and not self.differences and self.admitted > 0

    def lines(self) -> list[str]:
        used = [s / limit for s, limit in zip(self.spent, self.limits, strict=True)]
        return [
            f"fail-open over 3 edges, {len(self.limits)} rounds: {self.admitted} admitted, "
            f"{self.refused} refused, {self.deaths} edges killed; of a daily limit "
            f"{max(used):.1%} used at most, {sum(used) / len(used):.1%} in the mean; "
            f"{len(self.differences)} differences",
            *self.differences[:5],
        ]


def grace(directory: Path, *, seed: int, rounds: int, requests: int = 60) -> Rounds:
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    settings = {
        "GATEWAY_CATALOG": str(catalog),
        "GATEWAY_CHECKPOINT_SECONDS": "1",
        "GATEWAY_SWEEP_SECONDS": "1",
        "GATEWAY_GRACE_MIN_EDGES": "3",
    }
    found, chosen = Rounds(), random.Random(seed)
    with fleet(edges=3, settings=settings, waits={}) as made:
        for _ in range(rounds):
            _round(made, chosen, found, requests)
    return found


def _round(made: Fleet, chosen: random.Random, found: Rounds, requests: int) -> None:
    limit = chosen.randint(300, 3_000) * NANO_PER_TOKEN
    usd = str(Decimal(limit) / 10**9)
    org = made.organization("1000", failure_mode="fail-open", fallback_daily_limit_usd=usd)
    key = made.key(made.user(org, "open@example.com"))["api_key"]
    for edge in range(3):
        wait_until(lambda edge=edge: _ask_once(made, edge, key) == 200)  # type: ignore[misc]
        wait_until(lambda edge=edge: _share(made, edge, org) > 0)  # type: ignore[misc]
    quota = made.quotas[0]
    quota.signal(signal.SIGSTOP)
    try:
        admitted = asyncio.run(_outage(made, chosen, key, requests))
        if chosen.random() < 0.7:
            victim = chosen.randrange(3)
            made.edges[victim].kill()
            made.edges[victim].start()
            wait_until(lambda: _alive(made, victim))
            found.deaths += 1
        admitted += asyncio.run(_outage(made, chosen, key, requests))
    finally:
        quota.signal(signal.SIGCONT)
    found.refused += 2 * requests - admitted
    for edge in range(3):
        admitted += _until_asked_again(made, edge, key)
    found.admitted += admitted
    wait_until(lambda: open_holds(made.kv_url, org) == 0, 45)
    _judge(made, org, limit, admitted, found)


async def _outage(made: Fleet, chosen: random.Random, key: str, requests: int) -> int:
    """Requests at once at all edges; answers how many were admitted."""
    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(
            *(
                client.post(
                    f"{chosen.choice(made.urls)}/v1/chat/completions",
                    json=body(chosen.randint(1, 120)),
                    headers={"authorization": f"Bearer {key}"},
                )
                for _ in range(requests)
            )
        )
    assert {a.status_code for a in answers} <= {200, 503}, [a.text for a in answers][:3]
    graced = [a for a in answers if a.headers.get("x-gateway-grace") == "true"]
    assert all(a.status_code == 200 for a in graced)
    assert len(graced) == sum(a.status_code == 200 for a in answers)
    return len(graced)


def _judge(made: Fleet, org: str, limit: int, admitted: int, found: Rounds) -> None:
    """When everything that was admitted is in the journal."""

    def graced() -> int:
        return sum("grace" in a.flags for a in booked(made.kv_url, org).values())

    deadline = time.monotonic() + 30
    while graced() < admitted and time.monotonic() < deadline:
        time.sleep(0.1)
    accounts = [a for a in booked(made.kv_url, org).values() if "grace" in a.flags]
    found.limits.append(limit)
    found.spent.append(sum(a.spent for a in accounts))
    if len(accounts) != admitted or any(a.requests != 1 or a.held for a in accounts):
        found.differences.append(f"{org}: {len(accounts)} booked, {admitted} admitted")
    if found.spent[-1] > limit:
        found.differences.append(f"{org}: {found.spent[-1]} spent of {limit}")
    told = made.look(f"/organizations/{org}/usage")
    if Decimal(told["grace_usd"]) * 10**9 != found.spent[-1]:
        found.differences.append(f"{org}: usage says {told['grace_usd']}")
    proof = made.look(f"/organizations/{org}/verify")
    if not proof["ok"]:
        found.differences.append(str(proof))


def _ask_once(made: Fleet, edge: int, key: str) -> int:
    try:
        return made.client.post(
            f"{made.urls[edge]}/v1/chat/completions",
            json=body(1),
            headers={"authorization": f"Bearer {key}"},
        ).status_code
    except httpx.TransportError:
        return 0


def _until_asked_again(made: Fleet, edge: int, key: str) -> int:
    """Ask until the ledger decides; answers how many were admitted on a share meanwhile."""
    graced = 0
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = made.client.post(
            f"{made.urls[edge]}/v1/chat/completions",
            json=body(1),
            headers={"authorization": f"Bearer {key}"},
        )
        if answer.status_code == 200:
            if "x-gateway-grace" not in answer.headers:
                return graced
            graced += 1
    raise AssertionError("the ledger did not come back")


def _share(made: Fleet, edge: int, org: str) -> int:
    for path in Path(made.directory).glob(f"edge-{edge}/edges/*/grace.json"):
        shares = json.loads(path.read_text())["shares"].get(org, {})
        today = shares.get(datetime.now(UTC).strftime("%Y-%m-%d"))
        if today is not None:
            return int(today["nano"])
    return 0


def _alive(made: Fleet, edge: int) -> bool:
    try:
        return made.client.get(f"{made.urls[edge]}/healthz").status_code == 200
    except httpx.TransportError:
        return False
