"""A ledger over the worker's KV, and a whole quota server over it."""

from collections.abc import AsyncIterator

import pytest

from tests.quota.rpc import Rpc, serving
from tests.quota.world import World, world


@pytest.fixture
async def ledger(kv_url: str) -> AsyncIterator[World]:
    """The ledger over this worker's KV, with the KV's own clock."""
    async with world(kv_url) as made:
        yield made


@pytest.fixture
async def rpc(ledger: World) -> AsyncIterator[Rpc]:
    """A quota server over the same KV, with the prices of ``catalog.toml``."""
    async with serving(ledger) as served:
        yield served
