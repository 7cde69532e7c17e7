"""gw as a person runs it: arguments in; exit code, standard output and standard error out."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from cli.__main__ import main
from tests.edge.world import ADMIN_KEY, World, world


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gw = Callable[..., Run]


@pytest.fixture
def gw(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gw:
    """Run gw in an empty directory and without the environment of whoever runs the tests."""
    for name in ("GATEWAY_URL", "GATEWAY_PROD_URL", "ADMIN_API_KEY", "GATEWAY_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, typed: str = "") -> Run:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capfd.readouterr()
        code = main(list(arguments))
        out, error = capfd.readouterr()
        return Run(code, out, error)

    return run


@pytest.fixture(scope="module")
def gateway_log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def gateway(kv_url: str, gateway_log: io.StringIO) -> Iterator[World]:
    """A whole gateway in a thread, that does not log to where gw writes. A module's own: the tests
    of other rooms read what a gateway logs."""
    before = structlog.get_config()
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(gateway_log), cache_logger_on_first_use=False
    )
    try:
        with world(kv_url) as made:
            yield made
    finally:
        structlog.configure(**before)


@pytest.fixture
def here(gw: Gw, gateway: World, kv_flush: str, monkeypatch: pytest.MonkeyPatch) -> Gw:
    """gw beside an empty gateway, as its operator."""
    monkeypatch.setenv("GATEWAY_URL", gateway.url)
    monkeypatch.setenv("ADMIN_API_KEY", ADMIN_KEY)
    return gw
