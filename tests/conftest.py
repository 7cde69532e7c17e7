"""What every test may ask for. Each test worker has a Valkey, started as the launcher does it."""

import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from hypothesis import settings

from services.launch import kv

# A busy machine makes an example slow; that is no finding.
settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """What is started in the background of a script ignores SIGINT, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def logs_to_stderr() -> None:
    """Gateways that run beside tests log as processes do: to stderr, from level info on."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
        cache_logger_on_first_use=False,
    )


@pytest.fixture(scope="session")
def kv_url() -> Iterator[str]:
    """The URL of this worker's Valkey. Its content is whatever earlier tests left behind."""
    with tempfile.TemporaryDirectory(prefix="kv-") as made, kv.running(Path(made)) as url:
        yield url


@pytest.fixture
def kv_flush(kv_url: str) -> str:
    """The URL of this worker's Valkey, emptied for this test."""
    with redis.Redis.from_url(kv_url, protocol=3) as client:
        client.flushall()
    return kv_url
