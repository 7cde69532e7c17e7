"""Logs: one JSON line an event, coloured lines on a terminal, one request id through all services.

Never a key, a prompt or a request message: log ids and numbers.
"""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import partialmethod
from typing import Any

import orjson
import structlog


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
        leveled = type("Lines", (leveled,), {"_proxy_to_logger": partialmethod(_line, told)})
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
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


def _line(logger: Any, told: dict[str, Any], level: str, event: str, **facts: Any) -> None:
    """A line in one go, without a chain of processors: a busy edge writes thousands a second."""
    line: MutableMapping[str, Any] = {**logger._context, **facts, **told}
    line.update(event=event, level=level, timestamp=_now())
    structlog.contextvars.merge_contextvars(None, level, line)
    if "exc_info" in line:
        line = structlog.processors.format_exc_info(None, level, line)
    logger._logger.msg(orjson.dumps(line, default=str))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"
