"""One gateway for the client libraries; and the Node packages, where they are installed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.node_client import NodeClient
from tests.clients.raw_upstream import RawUpstream, raw_upstream
from tests.edge.world import World, world

PACKAGES = Path(__file__).parent / "node"


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
def node() -> NodeClient:
    """Skips where Node or the packages are missing; with CI set they must be there."""
    program = shutil.which("node")
    missing = "Node" if program is None else "the Node packages: make tools installs them"
    if program is None or not (PACKAGES / "node_modules" / "openai").is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI is without {missing}")
        pytest.skip(f"There is no {missing}.")
    return NodeClient(program, PACKAGES)
