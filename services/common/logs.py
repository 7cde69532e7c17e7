"""Logs: one JSON line an event, coloured lines on a terminal, one request id through all services.

Never a key, a prompt or a request message: log ids and numbers.
"""

import logging
import sys
from typing import Any

import orjson
import structlog


def configure(service: str, level: str = "info", form: str = "auto", worker: int = 0) -> None:
    """Set up the process's logging. ``form``: ``json``, ``console`` or ``auto`` (a terminal gets
    ``console``). ``worker`` is which of several on one port this is, if it is one. Called
    once, from ``__main__``."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(_dumps)
    )
    factory: Any = structlog.PrintLoggerFactory(sys.stderr)
    if not console:
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(
        service=service, **({"worker": worker} if worker else {})
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for one module."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)
