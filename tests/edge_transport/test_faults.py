"""Every fault of the other side is an httpx.TransportError, and tells whether it may have been
processed."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from services.edge.transport import LeanTransport, Limits
from services.edge.transport.transport import resolve
from tests.edge_transport.conftest import Server, get, lean, post, read_request, whole

Serve = Callable[..., Awaitable[Server]]
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"content-length: 5\r\n\r\nhello"


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_refused_connection_is_a_connect_error() -> None:
    async with lean() as transport:
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(post(f"http://127.0.0.1:{free_port()}/"))


async def test_unknown_host_is_a_connect_error() -> None:
    async def nobody(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    transport = LeanTransport(resolve=nobody)
    with pytest.raises(httpx.ConnectError, match=r"nowhere\.test"):
        await transport.handle_async_request(post("http://nowhere.test/"))
    await transport.aclose()


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://b\u00fccher.test/", "xn--bcher-kva.test"), ("http://[::1]:8080/", "::1")],
)
async def test_names_are_looked_up_as_the_network_spells_them(url: str, host: str) -> None:
    asked: list[str] = []

    async def nobody(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    transport = LeanTransport(resolve=nobody)
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(post(url))
    await transport.aclose()
    assert asked == [host]


async def test_silent_connect_ends_at_the_connect_timeout() -> None:
    never = asyncio.Event()

    async def stuck(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        await never.wait()
        return []

    transport = LeanTransport(resolve=stuck, limits=Limits(max_connections=1))
    for _ in range(2):  # the second one proves that the slot came back
        with pytest.raises(httpx.ConnectTimeout):
            await transport.handle_async_request(post("http://slow.test/", connect=0.05))
    await transport.aclose()


async def test_dead_address_does_not_hide_a_living_one(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SIZED)
        await reader.read()

    server = await serve(talk)
    dead = free_port()

    async def both(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        return [*await resolve("127.0.0.1", dead), *await resolve("127.0.0.1", server.port)]

    transport = LeanTransport(resolve=both)
    response = await transport.handle_async_request(post("http://both.test/"))
    assert await whole(response) == b"hello"
    await transport.aclose()


@pytest.mark.parametrize("scheme", ["ftp", "ws"])
async def test_other_schemes_are_refused(scheme: str) -> None:
    async with lean() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(post(f"{scheme}://127.0.0.1/"))


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b"])
async def test_header_that_breaks_its_line_is_never_sent(serve: Serve, value: str) -> None:
    seen = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))

    server = await serve(talk)
    async with lean() as transport:
        request = httpx.Request("GET", server.url, headers={"x-a": value})
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)
    assert seen == []


async def test_server_that_hangs_up_without_an_answer(serve: Serve) -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1

    server = await serve(talk)
    async with lean() as transport:
        for request in (post(server.url), get(server.url)):
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await transport.handle_async_request(request)
    assert requests == 2


async def test_reset_within_the_body_is_a_read_error(serve: Serve) -> None:
    read = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: 10\r\n\r\nhello")
        await read.wait()
        reset(writer)

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url))
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            async for chunk in response.stream:  # type: ignore[union-attr]
                assert chunk == b"hello"
                read.set()


async def test_silence_before_the_head_ends_at_the_read_timeout(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        with pytest.raises(httpx.ReadTimeout):
            await transport.handle_async_request(post(server.url, read=0.05))
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_read_timeout_counts_from_the_last_byte_not_from_the_start(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(8):
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url, read=0.2))
        got = b""
        with pytest.raises(httpx.ReadTimeout):
            async for chunk in response.stream:  # type: ignore[union-attr]
                got += chunk
        assert got == b"x" * 8


async def test_slow_reader_is_no_silent_server(serve: Serve) -> None:
    size = 1 << 20

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"content-length: %d\r\n\r\n" % size + b"x" * size)
        await reader.read()

    server = await serve(talk)
    async with lean() as transport:
        response = await transport.handle_async_request(post(server.url, read=0.05))
        await asyncio.sleep(0.2)  # four read timeouts, in which the reader reads nothing
        assert len(await whole(response)) == size


async def test_server_that_takes_no_bytes_ends_at_the_write_timeout(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    server = await serve(talk)
    async with lean() as transport:
        with pytest.raises(httpx.WriteTimeout):
            await transport.handle_async_request(
                post(server.url, body=b"x" * (64 << 20), write=0.1, read=30.0)
            )


@pytest.mark.parametrize("streamed", [False, True])
async def test_answer_before_the_body_is_sent_is_heard(serve: Serve, streamed: bool) -> None:
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer)
        await writer.drain()
        await asyncio.Event().wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    server = await serve(talk)
    async with lean(Limits(max_connections=1)) as transport:
        for _ in range(2):
            content = endless() if streamed else b"x" * (64 << 20)
            request = httpx.Request(
                "POST", server.url, content=content, extensions={"timeout": {"pool": 5.0}}
            )
            response = await transport.handle_async_request(request)
            assert response.status_code == 413
            assert await whole(response) == b"big"
        assert server.connections == 2


@pytest.mark.parametrize("sized", [False, True])
async def test_streamed_body_arrives_framed(serve: Serve, sized: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            if sized:
                body = (await read_request(reader)).partition(b"\r\n\r\n")[2]
            else:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Transfer-Encoding: chunked" in head
                body = await reader.readuntil(b"\r\n0\r\n\r\n")
            writer.write(OK + b"content-length: %d\r\n\r\n" % len(body) + body)
        await reader.read()

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"abc", b"", b"de"):
            yield part

    server = await serve(talk)
    headers = {"content-length": "5"} if sized else {}
    async with lean() as transport:
        for _ in range(2):
            request = httpx.Request("POST", server.url, content=parts(), headers=headers)
            got = await whole(await transport.handle_async_request(request))
            assert got == (b"abcde" if sized else b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert server.connections == 1


@pytest.mark.parametrize("told", ["3", "7"])
async def test_streamed_body_of_another_length_than_told_is_refused(
    serve: Serve, told: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def five() -> AsyncIterator[bytes]:
        yield b"abcde"

    server = await serve(talk)
    async with lean() as transport:
        request = httpx.Request(
            "POST", server.url, content=five(), headers={"content-length": told}
        )
        with pytest.raises(httpx.LocalProtocolError, match="content-length"):
            await transport.handle_async_request(request)
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_broken_body_stream_is_the_callers_own_error(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    server = await serve(talk)
    async with lean() as transport:
        with pytest.raises(KeyError, match="mine"):
            await transport.handle_async_request(
                httpx.Request("POST", server.url, content=broken())
            )
        await asyncio.wait_for(server.closed.wait(), 5)
