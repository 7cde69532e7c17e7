"""The console of a whole gateway: real auth, quota and KV, an edge, the simulator."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.console.browser import Browser
from tests.edge.world import ADMIN_KEY, World, world
from tests.edge_admin.rest import Rest


@pytest.fixture(scope="session")
def gateway(kv_url: str) -> Iterator[World]:
    """One gateway for all tests of a worker; each test brings its own organisation."""
    with world(kv_url) as made:
        yield made


@pytest.fixture
def rest(gateway: World) -> Iterator[Rest]:
    made = Rest(gateway.url)
    yield made
    made.close()


@pytest.fixture
def stranger(gateway: World) -> Iterator[Browser]:
    """Nobody is signed in."""
    made = Browser(gateway.url)
    yield made
    made.http.close()


@pytest.fixture
def guesser(gateway: World) -> Iterator[Callable[[str], Browser]]:
    """Strangers by their address: who guesses from there is slowed there, and nowhere else."""
    made: list[Browser] = []

    def come(address: str) -> Browser:
        transport = httpx.HTTPTransport(local_address=address)
        made.append(Browser(gateway.url, httpx.Client(timeout=20, transport=transport)))
        return made[-1]

    yield come
    for one in made:
        one.http.close()


@pytest.fixture
def operator(stranger: Browser) -> Browser:
    """The platform's administrator is signed in."""
    assert stranger.sign_in(ADMIN_KEY).status_code == 303
    return stranger
