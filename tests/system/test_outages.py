"""The KV, quota or auth away: bounded waits, an organisation's own choice, nothing lost.

The machine that runs this may be busy, so the times here are generous; `make torture` measures.
"""

import json
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from services.edge.grace_book import day_of
from services.edge.journal import now_ms
from services.edge.outbox_log import restore
from tests.system.accounts import booked, open_holds
from tests.system.exact import CATALOG, NANO_PER_TOKEN, body
from tests.system.fault_proxy import FaultProxy, fault_proxy
from tests.system.fleet import Fleet, fleet
from tests.system.store import Store, store
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

TOKENS = 50
NANO = TOKENS * NANO_PER_TOKEN


def usd(nano: int) -> str:
    return str(Decimal(nano) / 10**9)


@dataclass
class Stage:
    fleet: Fleet
    kv: Store
    way: FaultProxy
    client: httpx.Client

    def member(self, **org: Any) -> tuple[str, str]:
        """An organisation and an API key of it, used once so that the edge knows both."""
        made = self.fleet.organization("1000", **org)
        key = self.fleet.key(self.fleet.user(made, "somebody@example.com"))["api_key"]
        wait_until(lambda: self.ask(key, tokens=1).status_code == 200)
        return made, key

    def ask(self, key: str, *, tokens: int = TOKENS, words: str = "") -> httpx.Response:
        return self.client.post(
            f"{self.fleet.urls[0]}/v1/chat/completions",
            json=body(tokens, words),
            headers={"authorization": f"Bearer {key}"},
        )

    def book(self) -> dict[str, Any]:
        """What the edge wrote down about fail-open shares."""
        [path] = Path(self.fleet.directory).glob("edge-0/edges/*/grace.json")
        told: dict[str, Any] = json.loads(path.read_text())
        return told

    def shared(self, org: str, nano: int) -> bool:
        paths = list(Path(self.fleet.directory).glob("edge-0/edges/*/grace.json"))
        if not paths:
            return False
        share = self.book()["shares"].get(org, {}).get(day_of(now_ms()))
        return share is not None and share["nano"] == nano

    def kept(self) -> int:
        """Fail-open settlements on the edge's disk that are not booked yet."""
        [path] = Path(self.fleet.directory).glob("edge-0/edges/*/")
        return sum(item.grace for item in restore(path, now_ms()).waiting)

    def settle_down(self, org: str) -> None:
        wait_until(lambda: open_holds(self.fleet.kv_url, org) == 0, 45)
        assert self.fleet.look(f"/organizations/{org}/verify")["ok"] is True


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("outages")
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    ways: list[FaultProxy] = []

    def through(target: str) -> str:
        ways.append(FaultProxy(target, seed=1))
        return ways[0].address

    settings = {"GATEWAY_CATALOG": str(catalog), "GATEWAY_CHECKPOINT_SECONDS": "1"}
    with (
        store(directory) as kv,
        fleet(kv_url=kv.url, settings=settings, quota_way=through, waits={}) as made,
        httpx.Client(timeout=30) as client,
    ):
        yield Stage(made, kv, ways[0], client)
    ways[0].close()


def refused_soon(stage: Stage, key: str, code: str) -> None:
    """Refused at once, then in milliseconds, and each time told when to come back."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        answer = stage.ask(key)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == code
        assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert max(times) < 2.0
    assert statistics.median(times) < 0.1


def test_a_frozen_kv_is_refused_quickly_and_is_back_soon_after_it_thaws(stage: Stage) -> None:
    org, key = stage.member()
    stage.kv.freeze()
    try:
        refused_soon(stage, key, "quota_unavailable")
    finally:
        stage.kv.thaw()
    wait_until(lambda: stage.ask(key).status_code == 200, 10)
    stage.settle_down(org)


def test_a_key_not_seen_before_is_503_in_an_outage_of_auth_and_never_401_or_200(
    stage: Stage,
) -> None:
    org = stage.fleet.organization()
    unseen = stage.fleet.key(stage.fleet.user(org, "late@example.com"))["api_key"]
    stage.kv.freeze()
    try:
        for key in (unseen, unseen[:-7] + "x" * 7):
            answer = stage.ask(key)
            expected = {(503, "auth_unavailable"), (401, "invalid_api_key")}
            told = (answer.status_code, answer.json()["error"]["code"])
            assert told in expected - ({(401, "invalid_api_key")} if key == unseen else set())
    finally:
        stage.kv.thaw()
    wait_until(lambda: stage.ask(unseen).status_code == 200, 10)


@pytest.mark.parametrize("fault", ["stall", "reset", "cut", "half_close", "refuse"])
def test_a_broken_way_to_quota_is_bounded_and_heals(stage: Stage, fault: str) -> None:
    org, key = stage.member()
    stage.way.inflict(fault)
    try:
        if fault != "half_close":
            refused_soon(stage, key, "quota_unavailable")
        else:
            assert stage.ask(key).status_code in (200, 503)
    finally:
        stage.way.heal()
    wait_until(lambda: stage.ask(key).status_code == 200, 30)
    stage.settle_down(org)


def test_a_fail_open_organisation_spends_its_share_and_not_a_token_more(stage: Stage) -> None:
    limit = 10 * NANO
    org, key = stage.member(failure_mode="fail-open", fallback_daily_limit_usd=usd(limit))
    closed, closed_key = stage.member()
    wait_until(lambda: stage.shared(org, limit))
    edge, quota = stage.fleet.edges[0], stage.fleet.quotas[0]
    quota.signal(signal.SIGSTOP)
    try:
        answers = [stage.ask(key) for _ in range(6)]
        assert [a.status_code for a in answers] == [200] * 6, answers[-1].text
        assert {a.headers.get("x-gateway-grace") for a in answers} == {"true"}
        assert stage.ask(closed_key).status_code == 503
        wait_until(lambda: stage.kept() == 6)
        edge.kill()
        edge.start()
        wait_until(lambda: reachable(stage), 20)
        later = [stage.ask(key) for _ in range(10)]
        assert [a.status_code for a in later] == [200] * 4 + [503] * 6, "the share was refilled"
        assert stage.ask(key, tokens=1).status_code == 503
    finally:
        quota.signal(signal.SIGCONT)
    wait_until(lambda: stage.ask(key, tokens=1).status_code == 200, 20)
    wait_until(lambda: grace_usd(stage, org) == Decimal(usd(limit)), 20)
    stage.settle_down(org)
    stage.settle_down(closed)
    accounts = [a for a in booked(stage.fleet.kv_url, org).values() if "grace" in a.flags]
    assert [(a.requests, a.spent) for a in accounts] == [(1, NANO)] * 10
    wait_until(lambda: {"grace.start", "grace.end"} <= actions(stage, org), 20)


def reachable(stage: Stage) -> bool:
    try:
        return stage.client.get(f"{stage.fleet.urls[0]}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def grace_usd(stage: Stage, org: str) -> Decimal:
    return Decimal(stage.fleet.look(f"/organizations/{org}/usage")["grace_usd"])


def actions(stage: Stage, org: str) -> set[str]:
    page = stage.fleet.look(f"/audit?org_id={org}&page_size=100")
    return {entry["action"] for entry in page["data"]}


def test_a_proxy_without_a_fault_changes_nothing(stage: Stage) -> None:
    with fault_proxy(stage.fleet.edges[0].address) as way:
        assert httpx.get(f"http://{way.address}/healthz").json() == {"status": "ok"}


def test_while_auth_is_frozen_known_keys_work_and_others_are_503(stage: Stage) -> None:
    org, key = stage.member()
    unseen = stage.fleet.key(stage.fleet.user(org, "unseen@example.com"))["api_key"]
    auth = stage.fleet.auths[0]
    auth.signal(signal.SIGSTOP)
    try:
        assert [stage.ask(key).status_code for _ in range(5)] == [200] * 5
        refused_soon(stage, unseen, "auth_unavailable")
        assert stage.ask(key).status_code == 200
    finally:
        auth.signal(signal.SIGCONT)
    wait_until(lambda: stage.ask(unseen).status_code == 200, 20)
    stage.settle_down(org)
