"""Logs: one JSON line an event, coloured lines on a terminal, one request id through all services.

Never a key, a prompt or a request message: log ids and numbers.
"""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import structlog


def configure(service: str, level: str = "info", form: str = "auto", worker: int = 0) -> None:
    """Set up the process's logging. ``form``: ``json``, ``console`` or ``auto`` (a terminal gets
    ``console``). ``worker`` is which of several on one port this is, if it is one. Called
    once, from ``__main__``."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    told = {"service": service, **({"worker": worker} if worker else {})}
    processors: list[Any] = [structlog.contextvars.merge_contextvars, partial(_line, told)]
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if console:
        structlog.contextvars.bind_contextvars(**told)
        factory = structlog.PrintLoggerFactory(sys.stderr)
        processors[1:] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for one module."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


def _line(told: dict[str, Any], _: Any, level: str, event: MutableMapping[str, Any]) -> bytes:
    """A line in one go: a busy edge writes thousands a second."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(None, level, event)
    event.update(told, level=level, timestamp=_now())
    return orjson.dumps(event, default=str)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"
