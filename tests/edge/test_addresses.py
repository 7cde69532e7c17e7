"""Where upstreams may be: names when the catalog is read, addresses at every connection."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx
import pytest
from pydantic import SecretStr

from services.edge.addresses import Place, checked, public
from services.edge.catalog import Provider, load_catalog
from services.edge.faults import UpstreamFailed
from services.edge.transport import AddressInfo, LeanTransport
from services.edge.upstream import Form, Upstream
from tests.edge.wire import chat
from tests.edge.world import World

INSIDE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.0"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.2.1", "198.18.0.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::7f00:1"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2001:0:7f00:1::"),
]
OUTSIDE = ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("address", INSIDE)
def test_d1_an_address_inside_is_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_d1_an_address_of_the_internet_is_public(address: str) -> None:
    assert public(address)


class Resolver:
    """Answers with one list of addresses after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[Place] = []

    async def __call__(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append((host, port))
        return [
            (int(socket.AF_INET), int(socket.SOCK_STREAM), 6, "", (address, port))
            for address in self._answers.pop(0)
        ]


@contextmanager
def listening(address: str) -> Iterator[tuple[int, list[str]]]:
    """A server that answers each connection once, and who came to it."""
    listener = socket.create_server((address, 0))
    came: list[str] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                came.append(address)
                with connection:
                    connection.recv(65_536)
                    connection.sendall(OK)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], came
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def send(upstream: Upstream, port: int) -> int:
    provider = Provider("p", "openai", f"http://rebind.example:{port}/v1")
    return (await upstream.send(provider, Form(provider.base_url, "/x", ""), [], b"{}")).status


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["169.254.169.254"]])
def test_d2_a_name_that_stands_for_an_address_inside_is_not_connected_to(
    answer: list[str],
) -> None:
    async def attempt(port: int) -> None:
        upstream = Upstream(frozenset(), resolve=Resolver(answer))
        try:
            with pytest.raises(UpstreamFailed) as failed:
                await send(upstream, port)
        finally:
            await upstream.close()
        assert (failed.value.unseen, failed.value.error.status) == (True, 502)
        assert "127.0.0.1" not in failed.value.error.message

    with listening("127.0.0.1") as (port, came):
        asyncio.run(attempt(port))
        assert came == []


def test_d2_the_connection_is_made_to_the_address_that_was_checked() -> None:
    """127.0.0.2 stands for the internet here, 127.0.0.1 for what the name is turned to later."""

    async def attempt(port: int) -> Resolver:
        resolver = Resolver(["127.0.0.2"], ["127.0.0.1"])
        guarded = checked(resolver, frozenset(), public=lambda address: address == "127.0.0.2")
        async with LeanTransport(resolve=guarded) as transport:
            url = f"http://rebind.example:{port}/"
            for _ in range(2):
                request = httpx.Request("GET", url, headers={"connection": "close"})
                answer = await transport.handle_async_request(request)
                await answer.aread()
                await answer.aclose()
                await asyncio.sleep(0)
        return resolver

    with listening("127.0.0.2") as (port, came), pytest.raises(httpx.ConnectError) as refused:
        asyncio.run(attempt(port))
    assert "not public" in str(refused.value)
    assert came == ["127.0.0.2"]


def test_d4_a_private_upstream_is_reached_where_the_operator_said_and_nowhere_else() -> None:
    async def attempt(port: int, allowed: int) -> int:
        place = ("rebind.example", allowed)
        upstream = Upstream({place}, resolve=Resolver(["127.0.0.1"]))
        try:
            return await send(upstream, port)
        finally:
            await upstream.close()

    with listening("127.0.0.1") as (port, came):
        assert asyncio.run(attempt(port, port)) == 200
        with pytest.raises(UpstreamFailed):
            asyncio.run(attempt(port, port + 1))
        assert len(came) == 1


def test_d4_only_the_catalog_names_private_places(gateway: World) -> None:
    places = load_catalog(gateway.edge_settings).private()
    assert ("127.0.0.1", 9) in places
    assert all(host == "127.0.0.1" for host, _ in places)
    assert ("api.openai.com", 443) not in places


def test_d2_a_running_gateway_does_not_follow_a_name_inside(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through the front door: the provider's public name is turned to this machine."""
    with listening("127.0.0.1") as (port, came):
        loop = gateway.loop
        real = loop.getaddrinfo

        async def rebound(host: str, port_: int, **told: int) -> list[AddressInfo]:
            if host != "api.openai.com":
                return await real(host, port_, **told)  # type: ignore[return-value]
            return await Resolver(["127.0.0.1"])(host, port)

        monkeypatch.setattr(loop, "getaddrinfo", rebound)
        with gateway.another_edge(openai_api_key=SecretStr("sk-test")) as url:
            reply = chat(url, gateway.member(), model="openai/gpt-4o")
        assert (reply.status, reply.error["code"]) == (502, "upstream_error")
        assert came == []
