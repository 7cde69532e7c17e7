"""The gateway over a cluster of real nodes, and over a replica and a Sentinel: what moves or dies
there changes no bill."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from services.common import keys
from tests.system import kv_cluster, kv_replicated
from tests.system.fleet import Fleet, fleet
from tests.system.kv_cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

BODY = {"model": "simulator/echo", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Team:
    org: str
    user: str
    api_key: str
    answers: Counter[str] = field(default_factory=Counter)


@contextmanager
def topology(replicas: int) -> Iterator[tuple[Cluster, Fleet]]:
    with (
        kv_cluster.running(primaries=3, replicas=replicas) as cluster,
        fleet(
            edges=2,
            auths=2,
            quotas=2,
            kv_url=cluster.url,
            settings={"GATEWAY_KV_CLUSTER": "true"},
        ) as running,
    ):
        yield cluster, running


def teams_on_every_node(cluster: Cluster, running: Fleet) -> list[Team]:
    found: dict[int, Team] = {}
    for number in range(60):
        org = running.organization()
        node = cluster.owner(keys.org_quota(org)).port
        if node not in found:
            user = running.user(org, f"user{number}@example.com")
            found[node] = Team(org, user, running.key(user)["api_key"])
        if len(found) == cluster.primaries:
            return list(found.values())
    raise RuntimeError("the organisations all went to the same nodes")


@asynccontextmanager
async def load(running: Fleet, teams: list[Team], workers: int = 4) -> Any:
    """Requests of every team to every edge until the block ends; the answers are counted."""
    stop = asyncio.Event()

    async def work(team: Team, seed: int) -> None:
        choose = random.Random(seed)
        async with httpx.AsyncClient(timeout=20) as client:
            while not stop.is_set():
                answer = await client.post(
                    f"{choose.choice(running.urls)}/v1/chat/completions",
                    json={**BODY, "stream": choose.random() < 0.5},
                    headers={"authorization": f"Bearer {team.api_key}"},
                )
                if answer.status_code == 200:
                    team.answers["served"] += 1
                else:
                    team.answers[answer.json()["error"]["code"]] += 1
                    await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(work(t, n)) for t in teams for n in range(workers)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(true: Callable[[], Awaitable[bool]], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


async def balanced(running: Fleet, teams: list[Team]) -> None:
    """Every answer is charged once, nothing is held, and the books agree."""
    for team in teams:

        async def booked(team: Team = team) -> bool:
            path = f"/users/{team.user}/usage"
            usage = await asyncio.to_thread(running.look, path)
            counted = usage["request_count"] == team.answers["served"]
            return bool(counted and float(usage["held_usd"]) == 0)

        await until(booked, f"{team.answers} is not what the ledger says")
        path = f"/organizations/{team.org}/verify"
        proof = await asyncio.to_thread(running.look, path)
        assert proof["ok"] is True, proof


async def test_slots_that_move_under_load_stop_nobody_and_change_no_bill() -> None:
    topology_ = topology(replicas=0)
    cluster, running = await asyncio.to_thread(topology_.__enter__)
    try:
        teams = await asyncio.to_thread(teams_on_every_node, cluster, running)
        async with load(running, teams):
            for team in teams:
                await until(served(team, 20), "nothing is served")
                key = keys.org_quota(team.org)
                source = await asyncio.to_thread(cluster.owner, key)
                target = next(node for node in cluster.nodes if node is not source)
                before = team.answers["served"]
                await asyncio.to_thread(cluster.move, key, target)
                await until(served(team, before + 20), "it stands still after its slot moved")
        for team in teams:
            assert set(team.answers) == {"served"}, team.answers
        await balanced(running, teams)
    finally:
        await asyncio.to_thread(topology_.__exit__, None, None, None)


async def test_a_node_that_is_killed_under_load_changes_no_bill_and_stops_nobody_else() -> None:
    topology_ = topology(replicas=3)
    cluster, running = await asyncio.to_thread(topology_.__enter__)
    try:
        teams = await asyncio.to_thread(teams_on_every_node, cluster, running)
        struck, *others = teams
        victim = await asyncio.to_thread(cluster.owner, keys.org_quota(struck.org))
        async with load(running, teams):
            for team in teams:  # until each edge knows each key, wherever that is kept
                await until(served(team, 20), "nothing is served")
            before = [team.answers["served"] for team in others]
            await asyncio.to_thread(victim.kill)
            refused = struck.answers.total() - struck.answers["served"]
            for team, count in zip(others, before, strict=True):
                await until(served(team, count + 20), "another organisation stands still")
            count = struck.answers["served"]
            await until(served(struck, count + 20), "the struck organisation does not come back")
        assert {code for team in others for code in team.answers} == {"served"}
        assert struck.answers.total() - struck.answers["served"] > refused
        assert set(struck.answers) <= {"served", "quota_unavailable", "auth_unavailable"}
        await balanced(running, teams)
    finally:
        await asyncio.to_thread(topology_.__exit__, None, None, None)


async def test_a_failover_of_sentinels_under_load_changes_no_bill() -> None:
    with ExitStack() as stack:
        entered = asyncio.to_thread
        kv = await entered(stack.enter_context, kv_replicated.running())
        running = await entered(stack.enter_context, fleet(quotas=2, kv_url=kv.url))
        org = await entered(running.organization)
        user = await entered(running.user, org, "failover@example.com")
        team = Team(org, user, (await entered(running.key, user))["api_key"])
        async with load(running, [team]):
            await until(served(team, 20), "nothing is served")
            await entered(kv.kill_primary)
            before = team.answers["served"]
            await until(served(team, before + 20), "it does not come back")
        assert set(team.answers) <= {"served", "quota_unavailable", "auth_unavailable"}
        await balanced(running, [team])


def served(team: Team, count: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return team.answers["served"] > count

    return enough
