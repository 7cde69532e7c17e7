"""An answer's way out: framing, pace, and whatever should happen between two deltas."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from services.simulator.api import Event
from services.simulator.faults import Faults
from services.simulator.line import Ended, Line
from services.simulator.settings import SimulatorSettings

PIECE = 64  # bytes of a JSON answer that count as one delta
MALFORMED = '{"id":"chatcmpl-broken","object":"chat.completion.chunk","choices":[{"ind'

Failure = Callable[[int], tuple[str | None, bytes]]


class Player:
    """Sends one answer through ``line``; ``failure`` makes the event that tells of a failure."""

    def __init__(
        self, line: Line, faults: Faults, settings: SimulatorSettings, failure: Failure
    ) -> None:
        self._line = line
        self._faults = faults
        self._settings = settings
        self._failure = failure
        self._streaming = True
        self._deltas = 0
        self._events = 0

    async def document(self, body: bytes, tokens: int) -> None:
        """Send a JSON body; its ``tokens`` count as delivered with its last byte."""
        self._streaming = False
        await self._line.sleep(self._first() + tokens * self._per_token())
        if self._faults.comments:
            await self._line.write(b"\n\n")
        await self._strike()
        step = PIECE if self._faults.breaks or self._faults.drip else len(body) or 1
        for at in range(0, len(body), step):
            if at and self._faults.drip:
                await self._line.sleep(self._faults.drip / 1_000)
            await self._line.write(body[at : at + step])
            await self._delivered(0)
        self._line.record.completion_tokens += tokens
        await self._line.end()

    async def events(self, events: Iterator[Event], done: bool) -> None:
        """Send server-sent events, and ``[DONE]`` where the API has it."""
        if self._faults.comments:
            await self._line.write(self._framed(": OPENROUTER PROCESSING\n\n"))
        await self._strike()
        for event in events:
            if event.delta:
                await self._line.sleep(self._wait(event))
            if self._faults.comments:
                await self._line.write(self._framed(": keep-alive\n\n"))
            await self._line.write(self._event(event.name, orjson.dumps(event.data).decode()))
            self._events += 1
            self._line.record.usage = reported(event.data) or self._line.record.usage
            if event.delta:
                await self._delivered(event.tokens)
        if done and not self._faults.no_done:
            await self._line.write(self._event(None, "[DONE]"))
        await self._line.end()

    async def _delivered(self, tokens: int) -> None:
        self._deltas += 1
        self._line.record.chunks += 1
        self._line.record.completion_tokens += tokens
        await self._strike()

    async def _strike(self) -> None:
        """What the directives want after this many deltas. Raises Ended if the answer ends."""
        faults, line, now = self._faults, self._line, self._deltas
        if faults.malformed_after == now:
            await line.write(self._event(None, MALFORMED) if self._streaming else b'{"broken')
        if faults.hang_after == now:
            await line.hang()
        if faults.error_after == now and self._streaming:
            await self._fail()
        if faults.eof_after == now:
            await line.end()
            raise Ended("eof")
        if faults.close_after == now:
            await line.close()
            raise Ended("close")
        if faults.cut_after == now:
            await line.reset()
            raise Ended("cut")

    async def _fail(self) -> None:
        name, data = self._failure(self._events)
        await self._line.write(self._event(name, data.decode().strip()))
        if self._faults.error == "vllm":
            await self._line.write(self._event(None, "[DONE]"))
        await self._line.end()
        raise Ended("error")

    def _event(self, name: str | None, data: str) -> bytes:
        return self._framed(f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n")

    def _framed(self, text: str) -> bytes:
        return text.replace("\n", self._faults.eol).encode()

    def _wait(self, event: Event) -> float:
        if self._deltas == 0:
            return self._first()
        if self._faults.drip is not None:
            return self._faults.drip / 1_000
        return event.tokens * self._per_token()

    def _first(self) -> float:
        first = self._faults.first
        return (self._settings.first_token_ms if first is None else first) / 1_000

    def _per_token(self) -> float:
        return 1 / self._settings.tokens_per_second if self._settings.tokens_per_second else 0


def reported(data: dict[str, Any]) -> Any:
    """The usage that a document or an event reports, wherever the API has it."""
    for part in (data, data.get("response"), data.get("x_groq")):
        if isinstance(part, dict) and part.get("usage") is not None:
            return part["usage"]
    return None
