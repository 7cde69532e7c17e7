"""``python -m tests.bench clients``: what each HTTP client costs by itself, plain and over TLS."""

import asyncio
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import uvloop
from httpx_aiohttp import AiohttpTransport

from services.edge.transport import LeanTransport
from tests.bench import stage, traffic
from tests.edge_transport.authority import throw_away

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"ai-gateway"),
    (b"authorization", b"Bearer " + b"k" * 48),
]
_TIMEOUTS = {"timeout": {"connect": 5.0, "read": 300.0, "write": 30.0, "pool": 5.0}}
Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


def transports(tls: ssl.SSLContext) -> dict[str, tuple[Send, Callable[[], Awaitable[None]]]]:
    """How each sends, and how it is closed."""
    lean = LeanTransport(tls=tls)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    bridged = AiohttpTransport(client=session, trust_env=False)
    plain = httpx.AsyncClient(verify=tls, limits=httpx.Limits(max_connections=4_096))

    async def by_client(request: httpx.Request) -> httpx.Response:
        return await plain.send(request, stream=True)

    return {
        "lean transport": (lean.handle_async_request, lean.aclose),
        "httpx-aiohttp, transport level": (bridged.handle_async_request, bridged.aclose),
        "httpx.AsyncClient": (by_client, plain.aclose),
    }


async def cost(send: Send, url: str, kind: str, connections: int, seconds: float) -> float:
    """CPU of this process per request, in microseconds."""
    where = httpx.URL(url)
    content = traffic.body(kind)
    ends = time.monotonic() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        while time.monotonic() < ends:
            request = httpx.Request(
                "POST", where, headers=_HEADERS, content=content, extensions=_TIMEOUTS
            )
            response = await send(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for _ in response.stream:
                pass
            await response.stream.aclose()
            done += 1

    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(connections)))
    return (time.process_time() - began) * 1e6 / done


@contextmanager
def providers() -> Iterator[tuple[dict[str, str], ssl.SSLContext]]:
    """The mock's URLs, without and with TLS."""
    with tempfile.TemporaryDirectory(prefix="ca-") as made:
        directory = throw_away(Path(made), "localhost")
        files = str(directory / "leaf.pem"), str(directory / "leaf.key")
        with stage.mock() as plain, stage.mock(*files) as secure:
            urls = {
                "http": f"http://127.0.0.1:{plain.port}/v1/chat/completions",
                "https": f"https://localhost:{secure.port}/v1/chat/completions",
            }
            yield urls, ssl.create_default_context(cafile=str(directory / "ca.pem"))


async def rounds(
    urls: dict[str, str], tls: ssl.SSLContext, count: int, seconds: float
) -> dict[str, dict[str, float]]:
    senders = transports(tls)
    cases = [
        (f"{kind} {scheme} c{connections}", kind, urls[scheme], connections)
        for scheme in urls
        for kind, connections in ((traffic.JSON, 1), (traffic.JSON, 32), (traffic.SSE, 32))
    ]
    found: dict[str, dict[str, list[float]]] = {case[0]: {} for case in cases}
    for _ in range(count):
        for name, kind, url, connections in cases:
            for client, (send, _) in senders.items():
                spent = await cost(send, url, kind, connections, seconds)
                found[name].setdefault(client, []).append(spent)
    for _, close in senders.values():
        await close()
    return {
        name: {client: median(costs) for client, costs in by_client.items()}
        for name, by_client in found.items()
    }


def compare(*, count: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    with providers() as (urls, tls):
        found = uvloop.run(rounds(urls, tls, count, seconds))
    names = list(next(iter(found.values())))
    say("| CPU us per request or 50-chunk stream | " + " | ".join(names) + " |")
    say("|---" * (len(names) + 1) + "|")
    for case, costs in found.items():
        say(f"| {case} | " + " | ".join(f"{costs[name]:,.0f}" for name in names) + " |")
    return {"cpu_us": found, "well": True}
