"""gw as a person runs it: arguments in; exit code, standard output and standard error out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main


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

    def run(*arguments: str) -> Run:
        capfd.readouterr()
        code = main(list(arguments))
        out, error = capfd.readouterr()
        return Run(code, out, error)

    return run
