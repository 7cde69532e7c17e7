"""Clients that keep asking whatever happens, and remember what became of each request."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field

import httpx2 as httpx

from tests.system.exact import body

_SURE_SECONDS = 2.0
"""What ended this long before its edge died was settled, or was on its disk."""


@dataclass
class Asked:
    """One request as its client saw it; times are of the monotonic clock."""

    edge: int
    tokens: int
    began: float
    request_id: str = ""
    ended: float = 0.0
    complete: bool = False
    status: int = 0
    code: str = ""

    def met_the_death_of_its_edge(self, deaths: list[tuple[int, float]]) -> bool:
        return any(
            edge == self.edge and self.began <= at <= self.ended + _SURE_SECONDS
            for edge, at in deaths
        )


@dataclass
class Load:
    """``clients`` at a time, until ``stop``."""

    urls: list[str]
    key: str
    clients: int
    seed: int
    words: str = "chunks=12 drip=25"
    asked: list[Asked] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=self.clients * 2)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            await asyncio.gather(*(self._client(client, n) for n in range(self.clients)))

    async def _client(self, client: httpx.AsyncClient, number: int) -> None:
        chosen = random.Random(self.seed * 1_000 + number)
        while not self.stopping:
            edge = chosen.randrange(len(self.urls))
            one = Asked(edge, chosen.randint(12, 120), time.monotonic())
            self.asked.append(one)
            leaves = chosen.random() < 0.1
            with contextlib.suppress(httpx.TransportError):
                await self._ask(client, one, stream=chosen.random() < 0.8, leaves=leaves)
            one.ended = time.monotonic()
            if one.status != 200:
                await asyncio.sleep(0.02)

    async def _ask(
        self, client: httpx.AsyncClient, one: Asked, *, stream: bool, leaves: bool
    ) -> None:
        async with client.stream(
            "POST",
            f"{self.urls[one.edge]}/v1/chat/completions",
            json=body(one.tokens, self.words, stream=stream),
            headers={"authorization": f"Bearer {self.key}"},
        ) as answer:
            one.status = answer.status_code
            one.request_id = answer.headers.get("x-request-id", "")
            gathered = b""
            async for piece in answer.aiter_bytes():
                gathered += piece
                if leaves and len(gathered) > 600:
                    return
            if one.status != 200:
                one.code = gathered.decode()[-200:]
            one.complete = one.status == 200 and (not stream or b"[DONE]" in gathered)
