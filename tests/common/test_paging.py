"""Walking the pages of any list meets everything once, in order."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.v1 import admin_pb2
from services.common.paging import Listed, page

runs = st.tuples(st.integers(0, 120), st.integers(0, 5))
lists = st.lists(runs.map(lambda run: [0] * run[0] + [1] * run[1]), max_size=6)


@given(st.integers(1, 7), lists.map(lambda made: [shown for run in made for shown in run]))
def test_pages_meet_everything_once(size: int, shown: list[int]) -> None:
    names = [f"{place:04d}" for place in range(len(shown))]

    async def fetch(position: str, count: int) -> list[Listed[admin_pb2.User]]:
        rest = [
            (name, admin_pb2.User(user_id=name) if there else None)
            for name, there in zip(names, shown, strict=True)
            if name > position
        ]
        return rest[:count]

    async def walk() -> list[str]:
        met, token = [], ""
        while True:
            found, token = await page(size, token, fetch)
            assert len(found) <= size
            met += [user.user_id for user in found]
            if not token:
                return met

    expected = [name for name, there in zip(names, shown, strict=True) if there]
    assert asyncio.run(walk()) == expected
