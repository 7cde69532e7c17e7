"""What the transport makes of the bytes of an answer."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from services.edge.transport.connection import MAX_HEAD_BYTES, MAX_HEADERS
from services.edge.transport.exchange import HIGH_WATER
from tests.edge_transport.conftest import (
    Server,
    answering,
    chunks,
    get,
    lean,
    post,
    read_request,
    whole,
)

Serve = Callable[..., Awaitable[Server]]
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"content-length: 5\r\n\r\nhello"


async def test_request_goes_out_as_it_was_given(serve: Serve) -> None:
    seen = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await read_request(reader)
        writer.write(SIZED)
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        request = httpx.Request(
            "POST",
            server.url + "?a=%20b",
            headers=[("X-One", "1"), ("x-one", "2")],
            content=b'{"k":1}',
        )
        assert await whole(await transport.handle_async_request(request)) == b"hello"
    head, _, body = seen.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?a=%20b HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines
    assert b"X-One: 1" in lines
    assert b"x-one: 2" in lines
    assert b"Content-Length: 7" in lines
    assert body == b'{"k":1}'


@pytest.mark.parametrize(
    "answer",
    [
        SIZED,
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + SIZED,
    ],
    ids=["length", "chunked", "trailer", "interim"],
)
async def test_delimited_bodies_arrive_whole_and_keep_the_connection(
    serve: Serve, answer: bytes
) -> None:
    server = await serve(answering(answer))
    async with lean() as transport:
        for _ in range(3):
            response = await transport.handle_async_request(post(server.url))
            assert response.status_code == 200
            assert "link" not in response.headers
            assert "x-trailer" not in response.headers
            assert await whole(response) == b"hello"
        assert server.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end_with_their_head(serve: Serve, status: int) -> None:
    server = await serve(answering(b"HTTP/1.1 %d X\r\nx-a: 1\r\n\r\n" % status))
    async with lean() as transport:
        for _ in range(2):
            response = await transport.handle_async_request(get(server.url))
            assert response.status_code == status
            assert await chunks(response) == []
        assert server.connections == 1


async def test_head_has_no_body_whatever_its_length_says(serve: Serve) -> None:
    server = await serve(answering(OK + b"content-length: 5\r\n\r\n"))
    async with lean() as transport:
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("HEAD", server.url))
            assert response.headers["content-length"] == "5"
            assert await chunks(response) == []


@pytest.mark.parametrize(
    "answer",
    [OK + b"\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", OK + b"connection: close\r\n\r\nhello"],
)
async def test_body_without_a_length_lasts_until_the_server_closes(
    serve: Serve, answer: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await serve(talk)
    async with lean() as transport:
        for _ in range(2):
            assert await whole(await transport.handle_async_request(post(server.url))) == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 10\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
    ids=["length", "chunked", "last-chunk"],
)
async def test_truncated_body_is_an_error_after_the_bytes_that_came(
    serve: Serve, answer: bytes
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url))
        got = b""
        with pytest.raises(httpx.RemoteProtocolError, match="within the body"):
            async for chunk in response.stream:  # type: ignore[union-attr]
                got += chunk
        assert got == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 103 E\r\na: b\r\n\r\n" * (MAX_HEAD_BYTES // 10),
    ],
    ids=["no-http", "two-lengths", "smuggle", "101", "count", "bytes", "endless", "many-interim"],
)
async def test_answers_that_are_none_are_refused(serve: Serve, answer: bytes) -> None:
    server = await serve(answering(answer))
    async with lean() as transport:
        with pytest.raises(httpx.RemoteProtocolError, match="bad answer"):
            await transport.handle_async_request(post(server.url))
        await server.closed.wait()


async def test_endless_trailer_is_refused(serve: Serve) -> None:
    endless = OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: "

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(endless)
        while True:
            writer.write(b"y" * 65_536)
            await writer.drain()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url))
        with pytest.raises(httpx.RemoteProtocolError, match="bad answer"):
            await whole(response)


async def test_answer_that_nobody_asked_for_never_reaches_the_next_request(serve: Serve) -> None:
    evil = OK + b"content-length: 4\r\n\r\nevil"
    server = await serve(answering(SIZED + evil))
    async with lean() as transport:
        for _ in range(3):
            response = await transport.handle_async_request(post(server.url))
            assert await whole(response) == b"hello"
        assert server.connections == 3


async def test_late_unasked_bytes_close_an_idle_connection(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SIZED)
        await writer.drain()
        writer.write(OK + b"content-length: 4\r\n\r\nevil")
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        for round_ in range(3):
            response = await transport.handle_async_request(post(server.url))
            assert await whole(response) == b"hello"
            server.closed.clear()
            await asyncio.wait_for(server.closed.wait(), 5)
            assert server.connections == round_ + 1


async def test_each_read_is_handed_on_at_once_as_one_chunk(serve: Serve) -> None:
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"3\r\nabc\r\n4\r\ndefg\r\n")
            await go.wait()
            go.clear()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url))
        got = []
        async for chunk in response.stream:  # type: ignore[union-attr]
            got.append(chunk)
            go.set()
        assert got == [b"abcdefg"] * 3


async def test_slow_reader_bounds_what_is_held(serve: Serve) -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()
        await read_request(reader)
        writer.write(SIZED)
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url))
        stalled, before = 0, -1
        while stalled < 20:  # until nothing moves any more
            await asyncio.sleep(0.01)
            stalled = stalled + 1 if sent == before else 0
            before = sent
        exchange = response.stream
        assert exchange._buffered <= HIGH_WATER + 256 * 1024  # type: ignore[union-attr]
        assert sent < size / 2
        total = 0
        async for chunk in response.stream:  # type: ignore[union-attr]
            total += len(chunk)
        assert total == size
        assert await whole(await transport.handle_async_request(post(server.url))) == b"hello"
        assert server.connections == 1
