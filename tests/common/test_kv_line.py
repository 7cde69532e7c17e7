"""Commands on one shared connection: in order, bounded in time, never repeated."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError, TimeoutError

from services.common.kv import open_kv
from services.common.kv_line import KvLine
from tests.waiting import until


@pytest.fixture
async def line(kv_url: str) -> AsyncIterator[KvLine]:
    kv: Any = open_kv(kv_url, timeout_ms=20_000, connections=2)
    yield kv.connection_pool.line
    await kv.aclose()


async def test_answers_come_to_whoever_asked(line: KvLine) -> None:
    asked = [line.ask(("ECHO", f"word {n}"), 20) for n in range(200)]
    assert await asyncio.gather(*asked) == [f"word {n}" for n in range(200)]


async def test_what_is_asked_first_is_done_first(line: KvLine) -> None:
    await line.ask(("SET", "first", "0"), 20)
    asked = [line.ask(("APPEND", "first", str(n)), 20) for n in range(10)]
    await asyncio.gather(*asked)
    assert await line.ask(("GET", "first"), 20) == "00123456789"


async def test_an_error_is_its_own_commands_only(line: KvLine) -> None:
    asked = [line.ask(("HGET", "only-one"), 20), line.ask(("PING",), 20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], ResponseError)
    assert answers[1] == "PONG"


async def test_who_gives_up_takes_nobodys_answer(line: KvLine) -> None:
    await line.ask(("PING",), 20)
    gone = asyncio.create_task(line.ask(("ECHO", "gone"), 20))
    other = asyncio.create_task(line.ask(("ECHO", "other"), 20))
    await asyncio.sleep(0)
    gone.cancel()
    assert await other == "other"


class Server:
    """Answers each PING by ``answer``; None: by nothing."""

    def __init__(self) -> None:
        self.answer: bytes | None = b"+PONG\r\n"
        self.connections = 0
        self.asked = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                for word, answer in ((b"HELLO", b"%0\r\n"), (b"CLIENT", b"+OK\r\n")):
                    writer.write(answer * data.count(b"\r\n" + word))
                asked = data.count(b"\r\nPING")
                self.asked += asked
                writer.write((self.answer or b"") * asked)


@contextlib.asynccontextmanager
async def played(timeout_ms: int) -> AsyncIterator[tuple[Server, KvLine]]:
    server = Server()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    kv: Any = open_kv(f"redis://127.0.0.1:{port}", timeout_ms=timeout_ms, connections=2)
    try:
        yield server, kv.connection_pool.line
    finally:
        await kv.aclose()
        for writer in server.writers:
            writer.close()
        listening.close()
        await listening.wait_closed()


async def test_a_silent_kv_is_given_up_and_dialled_again() -> None:
    async with played(timeout_ms=200) as (server, line):
        server.answer = None
        with pytest.raises(TimeoutError):
            await line.ask(("PING",), 0.05)
        with pytest.raises((TimeoutError, ConnectionError)):
            await line.ask(("PING",), 20)
        server.answer = b"+PONG\r\n"
        assert await line.ask(("PING",), 20) == "PONG"
        assert server.connections > 1
        assert server.asked == 3  # nothing was asked again


async def test_a_late_answer_is_not_the_next_ones() -> None:
    async with played(timeout_ms=20_000) as (server, line):
        server.answer = None
        with pytest.raises(TimeoutError):
            await line.ask(("PING",), 0.05)
        server.answer = b"+LATE\r\n+PONG\r\n"
        assert await line.ask(("PING",), 20) == "PONG"


async def test_seconds_in_which_the_process_did_not_run_are_not_counted(line: KvLine) -> None:
    await line.ask(("PING",), 20)
    asked = asyncio.ensure_future(line.ask(("PING",), 0.2))
    await asyncio.sleep(0)
    time.sleep(0.6)  # noqa: ASYNC251
    assert await asked == "PONG"


@pytest.mark.parametrize(
    ("late", "over"), [(0.08, True), (5.0, False)], ids=["a little late", "a stall"]
)
async def test_late_looks_count_for_the_time_that_passed_and_a_stall_for_one(
    late: float, over: bool
) -> None:
    async with played(timeout_ms=20_000) as (server, line):
        server.answer = None
        asked = asyncio.ensure_future(line.ask(("PING",), 0.2))
        await until(lambda: server.asked == 1)
        wire: Any = line._wire
        [(answer, end)] = wire._waiting
        wire._now = end - 0.2
        for _ in range(3):
            wire._tick.cancel()
            wire._looked = asyncio.get_running_loop().time() - late
            wire._passed()
        assert answer.done() is over
        with pytest.raises(TimeoutError):
            await asked


async def test_a_server_that_became_a_replica_is_left() -> None:
    async with played(timeout_ms=20_000) as (server, line):
        server.answer = b"-READONLY You can't write against a read only replica.\r\n"
        with pytest.raises(ReadOnlyError):
            await line.ask(("PING",), 20)
        server.answer = b"+PONG\r\n"
        assert await line.ask(("PING",), 20) == "PONG"
        assert server.connections == 2


async def test_who_waits_when_the_connection_is_lost_hears_of_it() -> None:
    async with played(timeout_ms=20_000) as (server, line):
        server.answer = None
        asked = [asyncio.ensure_future(line.ask(("PING",), 20)) for _ in range(3)]
        await until(lambda: server.asked == 3)
        for writer in server.writers:
            writer.close()
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, ConnectionError)


async def test_where_nobody_listens_everybody_is_told() -> None:
    kv: Any = open_kv("redis://127.0.0.1:1", timeout_ms=20_000, connections=2)
    asked = [kv.connection_pool.line.ask(("PING",), 20) for _ in range(3)]
    for error in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(error, ConnectionError)
    await kv.aclose()
