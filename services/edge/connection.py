"""uvicorn's HTTP protocol, doing less for each request: its own cycles, one timer for idleness."""

from functools import lru_cache
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.edge.cycle import CYCLE, Cycle


class Connection(HttpToolsProtocol):
    """One connection, without upgrades, trace logs and limits."""

    _idle_since = 0.0

    def on_headers_complete(self) -> None:
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = target(self.url)
        self._answer(
            Cycle(
                scope,
                self.transport,
                self.flow,
                self.loop,
                always=self.server_state.default_headers,
                expects=dict(self.headers).get(b"expect", b"").lower() == b"100-continue",
                keep_alive=version != "1.0" and parser.should_keep_alive(),
                done=self.on_response_complete,
                logger=self.logger,
            )
        )

    def _answer(self, cycle: Cycle) -> None:
        """Now, or when the request before it has its answer."""
        before, self.cycle = self.cycle, cycle
        self.scope[CYCLE] = cycle  # type: ignore[literal-required]
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

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
