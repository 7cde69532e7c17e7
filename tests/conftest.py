"""What every test may ask for. Each test worker has a Valkey, started as the launcher does it."""

import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from services.launch import kv


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
