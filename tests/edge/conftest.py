"""One gateway for all tests of a worker; each test brings its own organisation."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.edge.world import World, world

settings.register_profile("edge", deadline=None)
settings.load_profile("edge")


@pytest.fixture(scope="session")
def gateway(kv_url: str) -> Iterator[World]:
    with world(kv_url) as made:
        yield made
