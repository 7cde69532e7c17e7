"""One request, from the first byte to the last."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from services.simulator import ask as asks
from services.simulator import cloudflare, errors, faults
from services.simulator.api import Answer, Api, Stamp
from services.simulator.ask import Ask
from services.simulator.cloudflare import Family
from services.simulator.errors import Refused
from services.simulator.faults import BadDirective, Faults
from services.simulator.line import Ended, HungUp, Line
from services.simulator.settings import SimulatorSettings
from services.simulator.stream import Player, reported
from services.simulator.witness import Record, Witness

_LEAKY = {
    "server": "cloudflare",
    "set-cookie": "__cf_bm=simulated; path=/; HttpOnly; Secure; SameSite=None",
    "alt-svc": 'h3=":443"; ma=86400',
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "cf-ray": "8f0c0ffee0000000-SIM",
    "cf-cache-status": "DYNAMIC",
    "openai-organization": "org-simulated",
    "openai-project": "proj_simulated",
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "via": "1.1 simulator",
}
_BODILESS = (204, 205, 304)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An ASGI application that answers one API at one kind of address."""

    api: Api
    settings: SimulatorSettings
    witness: Witness
    family: Family = Family.OPENAI
    has_done: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        record = self.witness.begin(request.method, request.url.path, request.headers, body)
        outcome = "cancelled"
        try:
            async with Line(scope, receive, send, record) as line:
                await _Exchange(self, request, body, line).run()
            outcome = "complete"
        except HungUp:
            outcome = "hung_up"
        except Ended as ended:
            outcome = str(ended)
        finally:
            self.witness.end(record, outcome)


class _Exchange:
    """One request and its answer."""

    def __init__(self, endpoint: Endpoint, request: Request, body: bytes, line: Line) -> None:
        self._endpoint = endpoint
        self._request = request
        self._body = body
        self._line = line
        self._record: Record = line.record
        self._stamp = Stamp(line.record.serial, int(line.record.began))
        self._faults = Faults()

    async def run(self) -> None:
        """Answer, well or badly. Raises HungUp and Ended."""
        try:
            ask, rest = self._read()
            refusal = await self._before(self._faults)
            if refusal is None:
                answer = self._endpoint.api.answer(ask, self._faults, rest, self._stamp)
        except BadDirective as error:
            refusal = Refused(str(error), param="x-simulator", code="invalid_directive")
        except Refused as error:
            refusal = error
        if refusal:
            await self._refuse(refusal)
        else:
            await self._answer(answer)

    def _read(self) -> tuple[Ask, str]:
        headers, api = self._request.headers, self._endpoint.api
        get = self._request.method == "GET"
        body = dict(self._request.path_params) if get else asks.parsed(self._body)
        ask = api.read(body)
        self._record.model, self._record.stream = ask.model, ask.stream
        self._record.prompt_tokens = ask.prompt.tokens
        cloudflare.check(self._endpoint.family, headers, ask.model)
        asked, rest = faults.from_text(ask.last)
        header = headers.get(faults.HEADER, "")
        asked = faults.merged(asked, faults.from_header(header))
        if self._applies(asked, ask, header):
            self._faults = asked
        return ask, rest

    def _applies(self, asked: Faults, ask: Ask, header: str) -> bool:
        if asked.model is not None and asked.model != ask.model:
            return False
        times = asked.times
        return times is None or self._endpoint.witness.nth(f"{header}\n{ask.last}") <= times

    async def _before(self, asked: Faults) -> Refused | None:
        """What happens before the headers; the error that was asked for, if one was."""
        if asked.reset:
            await self._line.reset()
            raise Ended("reset")
        if asked.hang:
            await self._line.hang()
        await self._line.sleep(asked.delay / 1_000)
        instead = asked.error is not None and asked.error_after is None
        status = asked.status or (500 if instead else 200)
        if status < 300 and not instead:
            return None
        error = errors.simulated(status, asked.message, asked.type, asked.code)
        error.style = asked.error or "openai"
        return error

    async def _refuse(self, error: Refused) -> None:
        body, content_type = errors.written(error, error.style)
        if error.status in _BODILESS:
            body = b""
        headers = {"content-type": content_type, "content-length": str(len(body))}
        # The breaks of a good answer do not concern an error's body.
        calm = Faults(gzip=self._faults.gzip, split=self._faults.split)
        await self._line.start(error.status, self._headers() | headers, calm)
        await self._line.write(body)
        await self._line.end()

    async def _answer(self, answer: Answer) -> None:
        status = self._faults.status or 200
        player = Player(self._line, self._faults, self._endpoint.settings, self._failure)
        headers = self._headers()
        if answer.events is not None:
            headers["content-type"] = "text/event-stream; charset=utf-8"
            headers["cache-control"] = "no-cache"
            await self._line.start(status, headers, self._faults)
            await player.events(answer.events, self._endpoint.has_done)
            return
        document: dict[str, Any] = answer.document or {}
        body = orjson.dumps(document)
        headers["content-type"] = errors.JSON
        if not (self._faults.breaks or self._faults.comments):
            headers["content-length"] = str(len(body))
        await self._line.start(status, headers, self._faults)
        self._record.usage = reported(document)
        await player.document(body, answer.tokens)

    def _failure(self, number: int) -> tuple[str | None, bytes]:
        asked = self._faults
        error = errors.simulated(500, asked.message, asked.type, asked.code)
        return self._endpoint.api.failed(error, asked, self._stamp, number)

    def _headers(self) -> dict[str, str]:
        elapsed = round((time.time() - self._record.began) * 1_000)
        headers = {
            "x-request-id": self._stamp.name("req_", size=32),
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(elapsed),
        }
        headers |= cloudflare.response_headers(self._endpoint.family, self._stamp, self._faults)
        if self._faults.headers:
            headers |= _LEAKY
        if self._faults.retry_after is not None:
            headers["retry-after"] = self._faults.retry_after
        return headers
