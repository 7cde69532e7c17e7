"""TLS: verified by default, with the server's name, HTTP/1.1 only."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from services.edge.transport import LeanTransport
from services.edge.transport.exchange import HIGH_WATER
from services.edge.transport.transport import resolve
from tests.edge_transport.authority import throw_away
from tests.edge_transport.conftest import Server, answering, lean, post, read_request, whole

Serve = Callable[..., Awaitable[Server]]
SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return throw_away(tmp_path_factory.mktemp("ca"), "provider.test")


def server_side(authority: Path, seen: list[str | None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "leaf.pem", authority / "leaf.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _sock, name, _context: seen.append(name)
    return context


def client_side(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority / "ca.pem"))


async def to_loopback(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
    return await resolve("127.0.0.1", port)


async def test_request_over_tls_names_the_server_and_speaks_http11(
    serve: Serve, authority: Path
) -> None:
    seen: list[str | None] = []
    spoken: list[str | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answering(SIZED)(reader, writer)

    server = await serve(talk, server_side(authority, seen))
    transport = LeanTransport(tls=client_side(authority), resolve=to_loopback)
    for _ in range(3):
        response = await transport.handle_async_request(
            post(f"https://provider.test:{server.port}/v1")
        )
        assert await whole(response) == b"hello"
    await transport.aclose()
    assert (seen, spoken, server.connections) == (["provider.test"], ["http/1.1"], 1)


async def test_unknown_authority_is_refused_by_default(serve: Serve, authority: Path) -> None:
    server = await serve(answering(SIZED), server_side(authority, []))
    transport = LeanTransport(resolve=to_loopback)
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        await transport.handle_async_request(post(f"https://provider.test:{server.port}/"))
    await transport.aclose()


async def test_wrong_name_is_refused(serve: Serve, authority: Path) -> None:
    server = await serve(answering(SIZED), server_side(authority, []))
    transport = LeanTransport(tls=client_side(authority), resolve=to_loopback)
    with pytest.raises(httpx.ConnectError, match=r"(?i)mismatch|match"):
        await transport.handle_async_request(post(f"https://other.test:{server.port}/"))
    await transport.aclose()


async def test_name_for_tls_can_differ_from_the_address(serve: Serve, authority: Path) -> None:
    server = await serve(answering(SIZED), server_side(authority, []))
    async with lean(tls=client_side(authority)) as transport:
        request = post(server.url)
        request.extensions["sni_hostname"] = "provider.test"
        assert await whole(await transport.handle_async_request(request)) == b"hello"


async def test_handshake_that_never_comes_ends_at_the_connect_timeout(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass

    server = await serve(talk)
    async with lean() as transport:
        with pytest.raises(httpx.ConnectTimeout):
            await transport.handle_async_request(
                post(server.url.replace("http:", "https:"), connect=0.2)
            )
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_plain_server_behind_https_is_a_connect_error(serve: Serve) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(SIZED)
        await writer.drain()

    server = await serve(talk)
    async with lean() as transport:
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(post(server.url.replace("http:", "https:")))


async def test_slow_reader_bounds_what_is_held_over_tls(serve: Serve, authority: Path) -> None:
    size = 32 * 1024 * 1024
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()
        await reader.read()

    server = await serve(talk, server_side(authority, []))
    transport = LeanTransport(tls=client_side(authority), resolve=to_loopback)
    response = await transport.handle_async_request(post(f"https://provider.test:{server.port}/"))
    stalled, before = 0, -1
    while stalled < 20:
        await asyncio.sleep(0.01)
        stalled = stalled + 1 if sent == before else 0
        before = sent
    assert sent < size / 2
    assert response.stream._buffered <= HIGH_WATER + 512 * 1024  # type: ignore[union-attr]
    assert len(await whole(response)) == size
    await transport.aclose()
