"""Every wait on the KV is bounded, and every failure of it has one name."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from services.common.errors import Internal, Unavailable
from services.common.kv import KvUnfit, kv_errors, open_kv, require_fit
from services.launch.kv import running


async def answer_time(url: str) -> float:
    """Seconds until the KV counts as unavailable."""
    kv = open_kv(url, timeout_ms=200, connections=2)
    started = time.monotonic()
    with pytest.raises(Unavailable), kv_errors():
        await kv.get("x")
    taken = time.monotonic() - started
    await kv.aclose()
    return taken


async def test_a_refused_connection_is_unavailable(tmp_path: Path) -> None:
    assert await answer_time(f"unix://{tmp_path}/nobody.sock") < 1


@contextmanager
def frozen(kv_url: str) -> Iterator[None]:
    """The KV stands still."""
    with redis.Redis.from_url(kv_url, protocol=3) as client:
        pid = client.info()["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_frozen_kv_is_unavailable_within_its_timeout(kv_url: str) -> None:
    with frozen(kv_url):
        # The bound is 0.2 s; a client with hidden retries would need more than 5.
        assert await answer_time(kv_url) < 2


async def test_waiting_for_a_connection_is_bounded_too(kv_url: str) -> None:
    kv = open_kv(kv_url, timeout_ms=200, connections=1)

    async def ask() -> object:
        with kv_errors():
            return await kv.get("x")

    with frozen(kv_url):
        started = time.monotonic()
        results = await asyncio.gather(*(ask() for _ in range(50)), return_exceptions=True)
        taken = time.monotonic() - started
    assert all(isinstance(result, Unavailable) for result in results)
    # One after the other they would need 50 x 0.2 s.
    assert taken < 5
    await kv.aclose()


@pytest.mark.parametrize(
    "reply", ["OOM command not allowed", "LOADING data", "READONLY replica", "NOREPLICAS few"]
)
async def test_replies_that_mean_not_now_are_unavailable(kv_url: str, reply: str) -> None:
    kv = open_kv(kv_url, timeout_ms=500, connections=1)
    with pytest.raises(Unavailable), kv_errors():
        await kv.eval(f"return redis.error_reply('{reply}')", 0)
    await kv.aclose()


async def test_a_wrong_command_is_our_bug_not_an_outage(kv_url: str) -> None:
    kv = open_kv(kv_url, timeout_ms=500, connections=1)
    with pytest.raises(Internal), kv_errors():
        await kv.eval("return redis.call('HGET')", 0)
    await kv.aclose()


async def test_F5_a_kv_that_evicts_or_forgets_is_refused() -> None:
    with tempfile.TemporaryDirectory(prefix="kv-") as made, running(Path(made)) as url:
        kv = open_kv(url, timeout_ms=500, connections=1)
        assert await require_fit(kv, unsafe=False) == []
        await kv.config_set("maxmemory", "100mb")
        await kv.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(KvUnfit, match="maxmemory-policy is allkeys-lru"):
            await require_fit(kv, unsafe=False)
        await kv.config_set("appendonly", "no")
        with pytest.raises(KvUnfit, match="appendonly is off"):
            await require_fit(kv, unsafe=False)
        assert len(await require_fit(kv, unsafe=True)) == 2
        await kv.aclose()
