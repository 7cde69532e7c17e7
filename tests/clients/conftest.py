"""One gateway for the client libraries; and those of other environments, where they are
installed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.raw_upstream import RawUpstream, raw_upstream
from tests.clients.runner import Runner
from tests.edge.world import World, world

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def upstream() -> Iterator[RawUpstream]:
    """The provider ``raw`` of the tests' catalog."""
    with raw_upstream() as made:
        os.environ["EDGE_TEST_RAW_URL"] = made.url
        yield made


@pytest.fixture(scope="session")
def gateway(kv_url: str, upstream: RawUpstream) -> Iterator[World]:
    with world(kv_url) as made:
        yield made


@pytest.fixture(scope="session")
def node() -> Runner:
    program = shutil.which("node")
    there = (HERE / "node" / "node_modules" / "openai").is_dir()
    return _runner(program if there else None, "node")


@pytest.fixture(scope="session")
def python() -> Runner:
    program = HERE.parents[1] / ".tools" / "python-clients" / "bin" / "python"
    return _runner(str(program) if program.exists() else None, "python")


def _runner(program: str | None, folder: str) -> Runner:
    """Skips where the libraries are missing; with CI set they must be there."""
    if program is not None:
        return Runner(program, HERE / folder)
    missing = f"The client libraries of tests/clients/{folder} are missing: make tools"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
