"""Logs: one JSON line an event, coloured lines on a terminal, one request id through all services.

Never a key, a prompt or a request message: log ids and numbers.
"""

import asyncio
import atexit
import logging
import select
import sys
import threading
import time
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, BinaryIO

import orjson
import structlog

_AT_ONCE = select.PIPE_BUF
"""Bytes that a pipe takes in one piece, whoever else writes into it."""


def configure(service: str, level: str = "info", form: str = "auto", worker: int = 0) -> None:
    """Set up the process's logging. ``form``: ``json``, ``console`` or ``auto`` (a terminal gets
    ``console``). ``worker`` is which of several on one port this is, if it is one. Called
    once, from ``__main__``."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    told = {"service": service, **({"worker": worker} if worker else {})}
    least = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    leveled: Any = structlog.make_filtering_bound_logger(least)
    factory: Any = structlog.PrintLoggerFactory(sys.stderr)
    if console:
        structlog.contextvars.bind_contextvars(**told)
    else:
        own = {"told": told, "tells": least <= logging.INFO}
        leveled = type("Line", (_Line, leveled), own)
        factory = LinesFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=leveled,
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for one module."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


class Lines:
    """Writes lines to ``out``: a warning at once, others with those of the same turn of the event
    loop, where there is one. Several processes may write to one pipe, so none is torn."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._gathered: list[bytes] = []
        self._size = 0
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        atexit.register(self.flush)

    def write(self, line: bytes, *, at_once: bool) -> None:
        """``line`` without its end."""
        loop = None if at_once else asyncio._get_running_loop()
        size = len(line) + 1
        with self._lock:
            if self._size + size > _AT_ONCE:
                self._put()
            self._gathered.append(line)
            self._size += size
            if loop is None:
                self._put()
            elif loop is not self._flushed_by:
                self._flushed_by = loop
                loop.call_soon(self.flush)

    def flush(self) -> None:
        with self._lock:
            self._flushed_by = None
            self._put()

    def _put(self) -> None:
        if self._gathered:
            self._gathered.append(b"")
            lines, self._gathered, self._size = b"\n".join(self._gathered), [], 0
            self._out.write(lines)
            self._out.flush()


class LinesFactory:
    """What structlog asks for a logger: all of a process write to the same lines."""

    def __init__(self, out: BinaryIO) -> None:
        self._lines = Lines(out)

    def __call__(self, *_: object) -> Lines:
        return self._lines


class _Line:
    """A line in one go, without a chain of processors: a busy edge writes thousands a second."""

    told: dict[str, Any]
    tells: bool
    _logger: Lines
    _context: dict[str, Any]

    def _proxy_to_logger(self, level: str, event: str, **facts: Any) -> None:
        line: MutableMapping[str, Any] = facts
        if "request_id" not in facts:  # all that a context ever has
            structlog.contextvars.merge_contextvars(None, level, line)
        if "exc_info" in facts:
            line = structlog.processors.format_exc_info(None, level, line)
        self.write(level, event, line)

    def write(self, level: str, event: str, line: MutableMapping[str, Any]) -> None:
        line.update(self._context)
        line.update(self.told)
        line["event"], line["level"], line["timestamp"] = event, level, _now()
        at_once = level not in ("info", "debug")
        self._logger.write(orjson.dumps(line, default=str), at_once=at_once)


def tell(log: structlog.typing.FilteringBoundLogger, event: str, facts: dict[str, Any]) -> None:
    """``log.info(event, **facts)``, for facts that nobody else needs any more, with the request's
    id among them: half the price."""
    if not isinstance(log, _Line):
        log.info(event, **facts)
    elif log.tells:
        log.write("info", event, facts)


def _now() -> str:
    """The time as ISO 8601 has it, in UTC and microseconds."""
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(second)}.{rest // 1_000:06d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
