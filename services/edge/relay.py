"""From the upstream to the client: bytes as they come, usage read over the shoulder.

A relay does not raise for what upstream, client or ledger do; it ends the answer as it has to be
ended and leaves the charge that follows.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

from services.edge import faults
from services.edge.alarm import Alarm
from services.edge.api import Api
from services.edge.bulk import LARGE, Bulk
from services.edge.charge import Charge, final_charge
from services.edge.cycle import Header
from services.edge.dispatch import Answer
from services.edge.document import gathered, read_document
from services.edge.errors import ApiError
from services.edge.exchange import JSON, ClientGone, Exchange
from services.edge.faults import UpstreamFailed
from services.edge.flow import Flow
from services.edge.mend import mender
from services.edge.openai import Ask
from services.edge.refusals import from_refusal
from services.edge.running import Run, Running
from services.edge.sse import EventTooLong, Sieve
from services.edge.transport import Exchange as Reply
from services.edge.upstream import first_headers, returned_headers, transport_errors
from services.edge.window import Window

_FRAMING = (b"content-type", b"content-length")
_GOODBYE_SECONDS = 1.0
_LAST_SECONDS = 3.0

STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


@dataclass(slots=True)
class Relay:
    """One answer on its way. ``charge`` is what is to be booked, whenever it is looked at."""

    api: Api
    ask: Ask
    answer: Answer
    exchange: Exchange
    alarm: Alarm
    run: Run
    running: Running
    bulk: Bulk
    headers: list[Header]
    begun: bool = False
    complete: bool = False
    _told: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def charge(self) -> Charge:
        bound = self.run.hold.bound
        charge = final_charge(self.run.meter, bound.estimated_input, complete=self.complete)
        if self._told.get(b"cf-aig-cache-status") != b"HIT":
            return charge
        return Charge(charge.tokens, charge.billable, (*charge.flags, "cached"))

    @property
    def _idle(self) -> float:
        return self.answer.target.provider.idle_timeout

    async def pass_on(self) -> None:
        """Carry the whole answer. Raises UpstreamFailed, ClientGone while nothing was sent."""
        reply = self.answer.reply
        self._told = first_headers(reply)
        told_id = self._told.get(b"x-request-id")
        if told_id is not None:
            self.exchange.facts["upstream_request_id"] = told_id[:128].decode("latin-1")
        try:
            if self._told.get(b"content-encoding", b"identity") != b"identity":
                raise faults.malformed()  # nobody asked for it
            if self.ask.stream and b"text/event-stream" in self._told.get(b"content-type", b""):
                await self._stream(aiter(reply))
            elif self.api.opaque and b"json" not in self._told.get(b"content-type", b""):
                await self._opaque(aiter(reply))
            else:
                await self._document(reply)
        finally:
            reply.give_up()

    async def _opaque(self, body: AsyncIterator[bytes]) -> None:
        """A sound, or a text: bytes as they come. Cut off, it breaks the connection."""
        told = [(name, self._told[name]) for name in _FRAMING if name in self._told]
        size = 0
        try:
            with self.alarm.armed(self._idle), transport_errors():
                async for piece in body:
                    if not self.begun:
                        self.begun = True
                        self._note_first_byte()
                        headers = [*told, *self.headers, *returned_headers(self._told)]
                        await self.exchange.start(200, headers)
                    size += len(piece)
                    await self.exchange.write(piece)
                    self.alarm.again()
        except TimeoutError:
            if self.alarm.gone:
                raise ClientGone from None
            raise faults.timed_out() from None
        finally:
            self.run.meter.opaque(size, int(self.run.hold.grant.output_tokens))
        if not self.begun:
            raise faults.malformed()
        self.complete = True
        await self._end(b"", self._idle)

    async def _document(self, reply: Reply) -> None:
        content = reply.whole()
        if content is None:
            content = await gathered(aiter(reply), self.alarm, self._idle)
        if len(content) < LARGE:
            content = self._read(content)
        else:
            content = await self.bulk.do(partial(self._read, content))
        headers = [*self.headers, *returned_headers(self._told)]
        self._note_first_byte()
        self.begun = self.complete = True
        if self.ask.stream and self.api.as_stream is not None:
            await self.exchange.start(200, [*STREAM_HEADERS, *headers])
            await self.exchange.end(content)
            return
        kind = self._told.get(b"content-type", JSON)
        await self.exchange.answer(content, content_type=kind, headers=headers)

    def _read(self, content: bytes) -> bytes:
        """What the client gets of it."""
        document = read_document(content)
        self.run.meter.receive(document)
        if self.ask.stream and self.api.as_stream is not None:
            return self.api.as_stream(self.ask, document)
        return self.api.rewrite(self.ask, document) or content

    async def _stream(self, body: AsyncIterator[bytes]) -> None:
        headers = [*STREAM_HEADERS, *self.headers, *returned_headers(self._told)]
        self.begun = True
        self.run.stop = self.alarm.stop  # an answer in one piece is paid for; it is not cut
        await self.exchange.start(200, headers)
        mends, meter = self.answer.target.provider.mend_stream, self.run.meter
        mend = mender(mends) if self.api.chunks else None
        sieve = Sieve(meter, withhold=self.api.withhold(self.ask), mend=mend)
        window = Window(self.run, self.running, self.alarm, self.exchange.write)
        reply, as_is = self.answer.reply, not mends
        flow = Flow(reply, self.exchange, sieve, window, self.alarm, meter, as_is=as_is)
        last = b""
        try:
            with self.alarm.armed(self._idle), transport_errors():
                await flow.run(body, self._note_first_byte)
            last = sieve.rest()
            meter.passed(last)
        except TimeoutError:
            await self._interrupted()
            return
        except (UpstreamFailed, EventTooLong):
            await self._end(self._broken(faults.truncated()), _LAST_SECONDS)
            return
        await self._finish(sieve, last)
        if sieve.done and not reply.done:
            await self._goodbye(body)

    async def _finish(self, sieve: Sieve, last: bytes) -> None:
        """The upstream's body is over: was it the whole answer?"""
        meter = self.run.meter
        if not sieve.done or meter.seen is None:
            meter.count()
        if sieve.done or meter.finished or meter.failed:
            self.complete = not meter.failed
            await self._end(last, self._idle)
        else:
            await self._end(last + self._broken(faults.truncated()), _LAST_SECONDS)

    async def _interrupted(self) -> None:
        """Time is up, the client has left, or the ledger pays no more."""
        if self.alarm.gone:
            self.complete = self.run.meter.whole()  # some leave at the last event
            self.exchange.facts["outcome"] = "client_gone"
        elif self.alarm.refusal is not None:
            error = from_refusal(self.alarm.refusal, self.ask.model, self.answer.target.model)
            last = self._broken(error)
            if self.alarm.refusal.reason.startswith("BUDGET_"):  # a length, as clients know it
                last = self.api.cut_short(self.run.meter, self.ask, error)
            await self._end(last, _LAST_SECONDS)
        else:
            await self._end(self._broken(faults.timed_out().error), _LAST_SECONDS)

    async def _end(self, data: bytes, seconds: float) -> None:
        """The last bytes. A client that does not read must not keep a hold alive."""
        if self.exchange.ended(data):
            return
        try:
            async with asyncio.timeout(seconds):
                await self.exchange.end(data)
        except TimeoutError:
            self.complete = False
            self.exchange.facts["outcome"] = "client_stalled"

    def _broken(self, error: ApiError) -> bytes:
        self.exchange.facts["outcome"] = error.code
        return self.api.broken(self.run.meter, error)

    async def _goodbye(self, body: AsyncIterator[bytes]) -> None:
        """The answer is over, its connection not yet: read the end, so that it can be reused."""
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                with transport_errors():
                    async for _ in body:
                        pass
        except (TimeoutError, UpstreamFailed):
            pass  # then it is closed

    def _note_first_byte(self) -> None:
        took = time.perf_counter() - self.exchange.began
        self.exchange.facts["first_byte_ms"] = round(took * 1_000, 1)
