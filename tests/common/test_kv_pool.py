"""The KV's connections: shared, bounded, and never one that has died or has something unread."""

import asyncio
from typing import Any

import pytest
import redis.exceptions as failures

from services.common.kv import Kv, open_kv
from services.common.kv_pool import command


@pytest.fixture
async def kv(kv_url: str) -> Kv:
    return open_kv(kv_url, timeout_ms=10_000, connections=2)


async def test_many_callers_share_few_connections(kv: Kv) -> None:
    async def ask(n: int) -> list[object]:
        raised = command(kv, "EVAL", "return redis.error_reply('no')", 0)
        answers = await asyncio.gather(raised, kv.echo(str(n)), return_exceptions=True)
        return [*answers, await command(kv, "ECHO", n)]

    for n, found in enumerate(await asyncio.gather(*map(ask, range(100)))):
        assert isinstance(found[0], failures.ResponseError)
        assert found[1:] == [str(n), str(n)]
    pool = kv.connection_pool
    assert len(pool._available_connections) <= 2
    assert not pool._in_use_connections
    await kv.aclose()


async def test_a_connection_that_the_kv_closed_fails_no_command(kv: Kv) -> None:
    for _ in range(3):
        await asyncio.gather(kv.ping(), kv.ping())
        held: list[Any] = list(kv.connection_pool._available_connections)
        for connection in held:
            connection._writer.transport.abort()
        await asyncio.sleep(0)
        assert await command(kv, "PING") == "PONG"
        assert await kv.ping()
    await kv.aclose()


async def test_an_answer_that_nobody_read_is_not_taken_for_the_next_ones(kv: Kv) -> None:
    connection = await kv.connection_pool.get_connection()
    await connection.send_command("ECHO", "unread")
    while not await connection.can_read():  # noqa: ASYNC110
        await asyncio.sleep(0)
    await kv.connection_pool.release(connection)
    assert await command(kv, "ECHO", "mine") == "mine"
    await kv.aclose()


async def test_a_caller_that_gives_up_leaves_no_connection_half_used(kv: Kv) -> None:
    for _ in range(4):
        asked = asyncio.ensure_future(command(kv, "BLPOP", "nothing:here", 30))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert [*await asyncio.gather(kv.echo("a"), kv.echo("b"))] == ["a", "b"]
    await kv.aclose()
