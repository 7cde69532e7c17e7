"""One gateway for all tests of a worker; each test brings its own organisation."""

from collections.abc import Iterator

import pytest

from tests.edge.world import World, world


@pytest.fixture(scope="session")
def gateway(kv_url: str) -> Iterator[World]:
    with world(kv_url) as made:
        yield made
