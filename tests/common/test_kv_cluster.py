"""Over a real cluster: a full pool, a moving slot or another dead node fails no command."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.exceptions import CrossSlotTransactionError, NoScriptError, ResponseError

from services.common.errors import Unavailable
from services.common.kv import Kv, kv_errors, open_kv, require_fit
from tests.system import kv_cluster
from tests.system.kv_cluster import Cluster

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kv_cluster.running(primaries=3) as running:
        yield running


@pytest.fixture
async def kv(cluster: Cluster) -> AsyncIterator[Kv]:
    client = open_kv(cluster.url, timeout_ms=2_000, connections=2, cluster=True)
    yield client
    await client.aclose()


def keys_everywhere(cluster: Cluster, prefix: str) -> list[str]:
    """A key for each primary."""
    found: dict[int, str] = {}
    for n in range(1_000):
        key = f"{prefix}:{{{n}}}"
        found.setdefault(cluster.owner(key).port, key)
        if len(found) == cluster.primaries:
            break
    return list(found.values())


async def test_every_key_is_found_on_its_node(cluster: Cluster, kv: Kv) -> None:
    names = keys_everywhere(cluster, "found")
    for value, name in enumerate(names):
        await kv.set(name, value)
    assert [await kv.get(name) for name in names] == ["0", "1", "2"]
    assert [cluster.owner(name).ask("GET", name) for name in names] == ["0", "1", "2"]


async def test_callers_wait_for_a_connection_instead_of_failing(cluster: Cluster, kv: Kv) -> None:
    names = keys_everywhere(cluster, "wait")
    calls = [kv.incr(names[n % 3]) for n in range(600)]
    await asyncio.gather(*calls)
    assert [await kv.get(name) for name in names] == ["200", "200", "200"]
    for name in names:
        clients = cluster.owner(name).ask("CLIENT", "LIST")
        assert clients.count("lib-name=redis-py") <= 3


async def test_a_script_runs_where_its_keys_are(cluster: Cluster, kv: Kv) -> None:
    for name in keys_everywhere(cluster, "script"):
        digest = "0" * 40
        with pytest.raises(NoScriptError):
            await kv.evalsha(digest, 1, name, 5)
        assert await kv.eval(ADD, 1, name, 5) == 5


async def test_a_pipeline_answers_in_order_over_all_nodes(cluster: Cluster, kv: Kv) -> None:
    names = keys_everywhere(cluster, "pipe")
    async with kv.pipeline(transaction=False) as pipe:
        for n in range(30):
            pipe.rpush(names[n % 3], n)
        for name in names:
            pipe.lrange(name, 0, -1)
        *counts, first, second, third = await pipe.execute()
    assert counts == [n // 3 + 1 for n in range(30)]
    assert [first[0], second[0], third[0]] == ["0", "1", "2"]


async def test_a_transaction_is_of_one_slot(cluster: Cluster, kv: Kv) -> None:
    async with kv.pipeline(transaction=True) as pipe:
        pipe.hset("a:{one}", "field", "1")
        pipe.hgetall("a:{one}")
        assert await pipe.execute() == [1, {"field": "1"}]
    async with kv.pipeline(transaction=True) as pipe:
        pipe.set("a:{one}", "1")
        pipe.set("b:{two}", "2")
        with pytest.raises(CrossSlotTransactionError):
            await pipe.execute()


async def test_a_failing_command_of_a_pipeline_is_told(kv: Kv) -> None:
    await kv.set("text:{p}", "x")
    async with kv.pipeline(transaction=False) as pipe:
        pipe.incr("text:{p}")
        with pytest.raises(ResponseError, match="not an integer"):
            await pipe.execute()


async def test_every_node_is_asked_whether_it_is_fit(cluster: Cluster, kv: Kv) -> None:
    assert await require_fit(kv, unsafe=False) == []
    cluster.nodes[2].ask("CONFIG", "SET", "appendonly", "no")
    try:
        assert await require_fit(kv, unsafe=True) == [
            "unsafe KV: appendonly is off; a restart would forget what was spent"
        ]
    finally:
        cluster.nodes[2].ask("CONFIG", "SET", "appendonly", "yes")


@pytest.mark.parametrize("way", ["script", "pipeline", "transaction"])
async def test_a_slot_that_moves_under_load_loses_and_doubles_nothing(
    cluster: Cluster, kv: Kv, way: str
) -> None:
    name = f"moving:{{{way}}}"
    stop = asyncio.Event()

    async def add() -> int:
        done = 0
        while not stop.is_set():
            if way == "script":
                await kv.eval(ADD, 1, name, 1)
            else:
                async with kv.pipeline(transaction=way == "transaction") as pipe:
                    pipe.incr(name)
                    await pipe.execute()
            done += 1
        return done

    workers = [asyncio.create_task(add()) for _ in range(8)]
    for _ in range(4):
        source = await asyncio.to_thread(cluster.owner, name)
        target = next(node for node in cluster.nodes if node is not source)
        await asyncio.to_thread(cluster.move, name, target)
    stop.set()
    done = await asyncio.gather(*workers)
    assert int(str(await kv.get(name))) == sum(done) > 100


async def test_a_frozen_node_does_not_slow_the_others(cluster: Cluster) -> None:
    kv = open_kv(cluster.url, timeout_ms=200, connections=2, cluster=True)
    frozen, *others = keys_everywhere(cluster, "frozen")
    await asyncio.gather(*(kv.set(name, 1) for name in (frozen, *others)))
    process = cluster.owner(frozen).process
    assert process is not None

    async def refused() -> None:
        with pytest.raises(Unavailable), kv_errors():
            await kv.get(frozen)

    process.send_signal(signal.SIGSTOP)
    try:
        waiting = [asyncio.create_task(refused()) for _ in range(20)]
        slowest = 0.0
        for n in range(200):
            started = time.perf_counter()
            assert await kv.get(others[n % 2]) == "1"
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 0.2
        assert await kv.ping()
        await asyncio.gather(*waiting)
    finally:
        process.send_signal(signal.SIGCONT)
        await kv.aclose()
        await asyncio.to_thread(cluster.wait_ok)


async def test_when_a_primary_dies_its_replica_takes_over_and_the_others_notice_nothing() -> None:
    running = kv_cluster.running(primaries=3, replicas=3)
    cluster = await asyncio.to_thread(running.__enter__)
    kv = open_kv(cluster.url, timeout_ms=300, connections=4, cluster=True)
    try:
        lost, *others = await asyncio.to_thread(keys_everywhere, cluster, "failover")
        await asyncio.gather(*(kv.set(name, 0) for name in (lost, *others)))
        victim = await asyncio.to_thread(cluster.owner, lost)
        await asyncio.to_thread(victim.ask, "WAIT", 1, 1_000)
        await asyncio.to_thread(victim.kill)
        started = time.monotonic()
        refused = 0
        while True:
            for name in others:
                await kv.incr(name)
            assert await kv.ping()
            try:
                with kv_errors():
                    await kv.incr(lost)
                break
            except Unavailable:
                refused += 1
                assert time.monotonic() - started < 15
                await asyncio.sleep(0.05)
        assert refused > 0
        assert await kv.get(lost) == "1"
        assert await kv.get(others[0]) == str(refused + 1)
    finally:
        await kv.aclose()
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_a_cluster_that_is_not_there_is_unavailable_in_time() -> None:
    kv = open_kv("redis://127.0.0.1:1,127.0.0.1:2", timeout_ms=200, connections=1, cluster=True)
    started = time.monotonic()
    with pytest.raises(Unavailable), kv_errors():
        await kv.get("x")
    assert time.monotonic() - started < 2
    await kv.aclose()
