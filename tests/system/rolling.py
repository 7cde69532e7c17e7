"""Every process is restarted, one after the other, while streams run: nobody may notice."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from tests.system.accounts import open_holds
from tests.system.exact import CATALOG, body
from tests.system.fleet import Fleet, fleet
from tests.system.process import Process
from tests.waiting import until

STREAMS = 100
TOKENS = 20
WORDS = "chunks=20 drip=100"
_LOOK_SECONDS = 0.1
_LONGEST_WAIT = 30.0


@dataclass
class Balancer:
    """Sends requests to edges whose /readyz says so, as a load balancer does."""

    urls: list[str]
    ready: list[str] = field(default_factory=list)

    async def watch(self, client: httpx.AsyncClient) -> None:
        while True:
            looked = await asyncio.gather(*(self._look(client, url) for url in self.urls))
            self.ready = [url for url, good in zip(self.urls, looked, strict=True) if good]
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, client: httpx.AsyncClient, url: str) -> bool:
        try:
            return bool((await client.get(f"{url}/readyz")).status_code == 200)
        except httpx.TransportError:
            return False

    async def choose(self) -> str:
        await until(lambda: self.ready, _LONGEST_WAIT)
        return random.choice(self.ready)


@dataclass
class Streams:
    """Clients that read one stream after the other, and what became of them: all of them should be
    ``whole``. They repeat nothing; ``elsewhere`` counts the connections that an edge did not take,
    for which a balancer takes another edge."""

    key: str
    balancer: Balancer
    outcomes: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    stopping: bool = False

    async def client(self, client: httpx.AsyncClient) -> None:
        while not self.stopping:
            self.outcomes[await self._stream(client)] += 1

    async def _stream(self, client: httpx.AsyncClient) -> str:
        """``whole``, or what a client would complain about."""
        while True:
            try:
                answer = client.stream(
                    "POST",
                    f"{await self.balancer.choose()}/v1/chat/completions",
                    json=body(TOKENS, WORDS, stream=True),
                    headers={"authorization": f"Bearer {self.key}"},
                )
                async with answer as response:
                    if response.status_code == 200:
                        return await _read(response)
                    return f"refused {(await response.aread()).decode()[:120]}"
            except httpx.ConnectError:
                self.elsewhere += 1
                await asyncio.sleep(_LOOK_SECONDS)
            except httpx.TransportError as error:
                return f"no answer {error!r}"


async def _read(response: httpx.Response) -> str:
    text = b""
    try:
        async for piece in response.aiter_raw():
            text += piece
    except httpx.TransportError as error:
        return f"broken {error!r}"
    return "whole" if text.endswith(b"data: [DONE]\n\n") else f"truncated {text[-120:]!r}"


@contextlib.asynccontextmanager
async def running(key: str, urls: list[str], count: int = STREAMS) -> AsyncIterator[Streams]:
    """So many clients until the block ends; then the streams that run are read to their end."""
    balancer = Balancer(urls)
    streams = Streams(key, balancer)
    limits = httpx.Limits(max_connections=2 * count)
    async with (
        httpx.AsyncClient(timeout=5) as looks,
        httpx.AsyncClient(timeout=60, limits=limits) as client,
    ):
        watch = asyncio.create_task(balancer.watch(looks))
        clients = [asyncio.create_task(streams.client(client)) for _ in range(count)]
        try:
            yield streams
        finally:
            streams.stopping = True
            await asyncio.gather(*clients)
            watch.cancel()


async def restart(process: Process) -> None:
    """As an operator does it: told to stop, waited for, started, waited for."""
    code = await asyncio.to_thread(process.stop, 60)
    assert code == 0, f"{process.name} ended with {code}:\n{process.log.read_text()[-4_000:]}"
    await asyncio.to_thread(process.restart)


@contextlib.contextmanager
def two_of_each(directory: Path, waits: Mapping[str, str]) -> Iterator[Fleet]:
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    settings = {
        "GATEWAY_CATALOG": str(catalog),
        "GATEWAY_DRAIN_SECONDS": "30",
        # As in compose.yaml: longer than the balancer may take to look, on a busy machine, too.
        "GATEWAY_NOTICE_SECONDS": "4",
    }
    with fleet(edges=2, auths=2, quotas=2, settings=settings, waits=waits) as made:
        yield made


async def restarts(made: Fleet, count: int) -> Streams:
    """Restart everything so many times under load; then the books must agree. Answers with what
    became of the streams."""
    org = made.organization()
    key = made.key(made.user(org, "stream@example.com"))["api_key"]
    async with running(key, made.urls) as streams:
        for number in range(count):
            for process in (*made.auths, *made.quotas, *made.edges):
                await restart(process)
            told = f"{dict(streams.outcomes)}, connected elsewhere {streams.elsewhere}"
            print(f"round {number + 1}: {told}", flush=True)
    await asyncio.to_thread(balanced, made, org, streams.outcomes["whole"])
    return streams


def balanced(made: Fleet, org: str, whole: int) -> None:
    """Each stream that ended whole was charged once, in full, and nothing is held any more."""
    deadline = time.monotonic() + 60
    while open_holds(made.kv_url, org):
        assert time.monotonic() < deadline, "something is still held"
        time.sleep(0.2)
    usage = made.look(f"/organizations/{org}/usage")
    assert (usage["request_count"], usage["output_tokens"]) == (whole, whole * TOKENS), usage
    assert made.look(f"/organizations/{org}/verify")["ok"] is True
