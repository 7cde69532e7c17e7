"""Connections are reused, bounded, waited for in order, never leaked, never used when dead."""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from services.edge.transport import LeanTransport, Limits
from tests.edge_transport.conftest import Server, answering, get, lean, post, read_request, whole

Serve = Callable[..., Awaitable[Server]]
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"content-length: 5\r\n\r\nhello"


def taken(transport: LeanTransport) -> int:
    return sum(pool.taken for pool in transport._pools.values())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_connections_are_bounded_and_waited_for_in_order(serve: Serve) -> None:
    gate = asyncio.Semaphore(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await gate.acquire()
            writer.write(SIZED)

    server = await serve(talk)
    order: list[int] = []

    async with lean(Limits(max_connections=2)) as transport:

        async def one(number: int) -> None:
            assert await whole(await transport.handle_async_request(post(server.url))) == b"hello"
            order.append(number)
            gate.release()

        tasks = []
        for number in range(8):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0)
        await until(lambda: server.connections == 2)
        gate.release()
        await asyncio.gather(*tasks)
        assert server.connections == 2
        assert sorted(order) == list(range(8))
        # Two connections may overtake each other by one, never more.
        assert all(abs(place - number) <= 2 for place, number in enumerate(order))


async def test_wait_for_a_connection_ends_at_the_pool_timeout(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await serve(talk)
    async with lean(Limits(max_connections=1)) as transport:
        busy = asyncio.create_task(transport.handle_async_request(post(server.url)))
        await until(lambda: server.connections == 1)
        started = time.monotonic()
        with pytest.raises(httpx.PoolTimeout, match="all 1 connections"):
            await transport.handle_async_request(post(server.url, pool=0.05))
        assert time.monotonic() - started < 2
        busy.cancel()
        await asyncio.wait([busy])


async def test_one_origin_at_its_limit_does_not_hold_up_another(serve: Serve) -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    first, second = await serve(stuck), await serve(answering(SIZED))
    async with lean(Limits(max_connections=1)) as transport:
        busy = asyncio.create_task(transport.handle_async_request(post(first.url)))
        await until(lambda: first.connections == 1)
        response = await transport.handle_async_request(post(second.url, pool=0.2))
        assert await whole(response) == b"hello"
        busy.cancel()
        await asyncio.wait([busy])


async def test_idle_connection_ends_before_the_servers_patience_does(serve: Serve) -> None:
    server = await serve(answering(SIZED))
    async with lean(Limits(idle_seconds_plain=0.05)) as transport:
        await whole(await transport.handle_async_request(post(server.url)))
        await asyncio.wait_for(server.closed.wait(), 5)
        assert taken(transport) == 0
        await whole(await transport.handle_async_request(post(server.url)))
        assert server.connections == 2


async def test_kept_connection_that_the_server_closed_is_not_written_to() -> None:
    """Even when the loop has not delivered its end yet: nothing below lets the loop run."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> socket.socket:
            there, _ = listener.accept()
            there.recv(65_536)
            there.sendall(SIZED)
            return there

        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with lean() as transport:
            first = asyncio.create_task(asyncio.to_thread(serve_one))
            assert await whole(await transport.handle_async_request(post(url))) == b"hello"
            there = await first
            kept = next(iter(transport._pools.values()))._idle[0]
            assert kept.usable()
            there.close()
            assert not kept.gone
            assert not kept.usable()
            second = asyncio.create_task(asyncio.to_thread(serve_one))
            assert await whole(await transport.handle_async_request(post(url))) == b"hello"
            (await second).close()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_r21_only_what_has_no_effect_is_repeated_when_a_kept_connection_ends(
    serve: Serve, method: str
) -> None:
    """The request was written: a POST may have been processed."""
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(SIZED)
        seen.append(await read_request(reader))  # and hang up without a byte

    server = await serve(talk)
    async with lean() as transport:
        make = post if method == "POST" else get
        assert await whole(await transport.handle_async_request(make(server.url))) == b"hello"
        if method == "POST":
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await transport.handle_async_request(make(server.url))
            assert len(seen) == 2
        else:
            assert await whole(await transport.handle_async_request(make(server.url))) == b"hello"
            assert len(seen) == 3


async def test_nothing_is_repeated_once_a_byte_of_the_answer_came(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SIZED)
        await read_request(reader)
        writer.write(b"HTTP/1.1 2")
        await writer.drain()

    server = await serve(talk)
    async with lean() as transport:
        assert await whole(await transport.handle_async_request(get(server.url))) == b"hello"
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await transport.handle_async_request(get(server.url))
        assert server.connections == 1


async def test_left_response_closes_its_connection_and_frees_the_slot(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: 10\r\n\r\nhello")
        await reader.read()

    server = await serve(talk)
    async with lean(Limits(max_connections=1)) as transport:
        for round_ in range(3):
            response = await transport.handle_async_request(post(server.url))
            server.closed.clear()
            await response.aclose()
            await asyncio.wait_for(server.closed.wait(), 5)
            assert server.connections == round_ + 1
        assert taken(transport) == 0


@pytest.mark.parametrize("answer", [b"", OK + b"content-length: 10\r\n\r\nhello"])
async def test_cancelled_caller_closes_its_connection_at_once(serve: Serve, answer: bytes) -> None:
    """While it waits for the head, or for the body, and without closing the response itself."""
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        asked.set()
        await reader.read()

    server = await serve(talk)
    async with lean(Limits(max_connections=1)) as transport:
        held: list[httpx.Response] = []

        async def one() -> None:
            held.append(await transport.handle_async_request(post(server.url)))
            await whole(held[0])

        task = asyncio.create_task(one())
        await asked.wait()
        await until(lambda: len(held) == (1 if answer else 0))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert taken(transport) == 0
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_who_waits_gets_the_place_of_a_connection_that_broke(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if server.connections > 1:
            writer.write(SIZED)
        await reader.read()

    server = await serve(talk)
    async with lean(Limits(max_connections=1)) as transport:
        first = asyncio.create_task(transport.handle_async_request(post(server.url)))
        await until(lambda: server.connections == 1)
        second = asyncio.create_task(transport.handle_async_request(post(server.url)))
        await asyncio.sleep(0)
        first.cancel()
        assert await whole(await asyncio.wait_for(second, 2)) == b"hello"
        await asyncio.wait([first])


async def test_closing_waits_for_what_is_running(serve: Serve) -> None:
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: 10\r\n\r\nhello")
        await go.wait()
        writer.write(b"world")
        await reader.read()

    server = await serve(talk)
    transport = LeanTransport(drain_seconds=5)
    response = await transport.handle_async_request(post(server.url))
    closing = asyncio.create_task(transport.aclose())
    await asyncio.sleep(0)
    go.set()
    assert await whole(response) == b"helloworld"
    await asyncio.wait_for(closing, 2)
    await asyncio.wait_for(server.closed.wait(), 5)


async def test_closing_does_not_wait_for_ever(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: 10\r\n\r\nhello")
        await reader.read()

    server = await serve(talk)
    transport = LeanTransport(drain_seconds=0.05)
    response = await transport.handle_async_request(post(server.url))
    await transport.aclose()
    with pytest.raises(httpx.ReadError):
        await whole(response)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
async def test_cancels_at_any_moment_leak_neither_slots_nor_sockets(
    serve: Serve, double: bool
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"5\r\nhello\r\n")
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    server = await serve(talk)
    chance = random.Random(7)
    before = descriptors()
    ended = {"whole": 0, "cancelled": 0}

    async with lean(Limits(max_connections=20)) as transport:

        async def one() -> None:
            response = await transport.handle_async_request(post(server.url))
            try:
                assert await whole(response) == b"hello" * 3
            finally:
                await response.aclose()

        async def cancelled_at(turns: int) -> None:
            task = asyncio.create_task(one())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            if double:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                assert task.exception() is None
            ended["cancelled" if task.cancelled() else "whole"] += 1

        for _ in range(50):
            await asyncio.gather(*(cancelled_at(chance.randrange(60)) for _ in range(100)))
        # Every slot is free again: as many as the limit run at once, without waiting.
        await asyncio.gather(*(one() for _ in range(20)))
        assert taken(transport) <= 20
        pool = next(iter(transport._pools.values()))
        assert not pool._waiters
        assert len(pool._idle) == pool.taken == len(pool._all)
    assert ended["cancelled"] > 500
    assert ended["whole"] + ended["cancelled"] == 5_000
    await until(lambda: server.open == 0)
    await until(lambda: descriptors() <= before + 2)
