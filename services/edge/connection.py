"""uvicorn's HTTP protocol, doing less for each request: its own cycles, one timer for idleness."""

import asyncio
import sys
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.edge.cycle import CYCLE, Cycle
from services.edge.heads import Head, learned

_LESSONS = 3
"""A client that says none of so many heads again is not listened to any more."""


class Connection(HttpToolsProtocol):
    """One connection, without upgrades, trace logs and limits."""

    _idle_since = 0.0
    _head: Head | None = None
    """The head before this one, if it may be said again."""
    _said = b""
    """What came with the beginning of the head that is being read."""
    _left = 0
    """Bytes that are missing of a body whose head was said again."""
    _lessons = _LESSONS

    def on_headers_complete(self) -> None:
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = target(self.url)
        expects = dict(self.headers).get(b"expect", b"").lower() == b"100-continue"
        keep_alive = version != "1.0" and parser.should_keep_alive()
        said, self._said, self._head = self._said, b"", None
        if said and keep_alive and self._lessons and not parser.should_upgrade():
            self._lessons -= 1
            self._head = learned(said, self.headers, scope)
        before = self.cycle
        self._answer(before, self._cycle(expects=expects, keep_alive=keep_alive))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def _repeated(self, data: bytes) -> bytes:
        """Takes what says the last head again, and its body, past the parser. What is left is for
        the parser, which is between two requests as it was."""
        if self._left:
            data = self._more(data)
        while data and self._head is not None and (again := self._head.said(data)):
            if self.transport.is_closing():
                return b""
            digits, begin = again
            self._lessons = _LESSONS
            self._begun()
            self._left = int(digits)
            self.scope, self.headers = self._head.scope(digits)
            before = self.cycle
            cycle = self._cycle(expects=False, keep_alive=True)
            data = self._more(data[begin:])
            self._answer(before, cycle)
        self._said = data
        return data

    def _more(self, data: bytes) -> bytes:
        """Takes what is missing of the body."""
        body = data[: self._left]
        self._left -= len(body)
        if body:
            self.on_body(body)
        if self._left:
            return b""
        self._whole()
        return data[len(body) :]

    def _begun(self) -> None:
        """A head is complete."""

    def _whole(self) -> None:
        """The request is complete."""
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def _cycle(self, *, expects: bool, keep_alive: bool) -> Cycle:
        self.cycle = cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            self.loop,
            always=self.server_state.default_headers,
            expects=expects,
            keep_alive=keep_alive,
            done=self.on_response_complete,
            logger=self.logger,
        )
        self.scope[CYCLE] = cycle  # type: ignore[literal-required]
        return cycle

    def _answer(self, before: Any, cycle: Cycle) -> None:
        """When the request before it has its answer, or now: at once, where the whole request is
        there and Python can."""
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        elif sys.version_info >= (3, 12) and not cycle.more_body:
            task = asyncio.Task(self._run(cycle, self.app), loop=self.loop, eager_start=True)
            if not task.done():
                self.tasks.add(task)
        else:
            self._start_asgi_task(cycle, self.app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """The task leaves the set by itself: a callback would cost a turn of the loop."""
        self.tasks.add(self.loop.create_task(self._run(cycle, app)))

    async def _run(self, cycle: Any, app: Any) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            self.tasks.discard(asyncio.current_task(self.loop))

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._idle_for(self.timeout_keep_alive)

    def _idle_for(self, seconds: float) -> None:
        keep = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, keep)

    def timeout_keep_alive_handler(self) -> None:
        """One timer for a connection, moved when it is up: none is made for each request."""
        self.timeout_keep_alive_task = None
        if not self.cycle.response_complete:
            return  # the answer to come begins it anew
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_for(left)
        elif not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=256)
def target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, the path as it came, and query of a request's target."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
