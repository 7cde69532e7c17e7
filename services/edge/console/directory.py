"""Names behind ids: organisations to choose from, users and keys of a table."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.edge.console.api import path
from services.edge.console.visit import Visit
from services.edge.errors import ApiError

MOST = 1_000
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Organizations:
    """The first ``MOST`` by id, in the order of their names."""

    rows: list[dict[str, Any]]

    def choices(self, chosen: str = "") -> tuple[tuple[str, str], ...]:
        """For a select: ids and names, ``chosen`` among them even when it is not listed."""
        found = [(row["org_id"], row["name"]) for row in self.rows]
        if chosen and chosen not in dict(found):
            found.append((chosen, chosen))
        return (("", "Choose…"), *found) if not chosen else tuple(found)

    def names(self) -> dict[str, str]:
        return {row["org_id"]: row["name"] for row in self.rows}


async def organizations(visit: Visit) -> Organizations:
    found = await visit.get(path("organizations"), {"page_size": str(MOST)})
    return Organizations(by_name(found["data"]))


def by_name(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Organisations as people look for them."""
    return sorted(rows, key=lambda row: (row["name"].casefold(), row["org_id"]))


async def org_names(visit: Visit, org_ids: Iterable[str]) -> dict[str, str]:
    """Names by organisation id; of a deleted organisation nothing."""
    found = await each(visit, {one: path("organizations", one) for one in org_ids})
    return {one: org["name"] for one, org in found.items()}


async def emails(visit: Visit, user_ids: Iterable[str]) -> dict[str, str]:
    """E-mail addresses by user id; of a deleted user the id."""
    found = await each(visit, {one: path("users", one) for one in user_ids})
    return {one: user["email"] for one, user in found.items()}


async def key_names(visit: Visit, owners: dict[str, str]) -> dict[str, str]:
    """Names of keys by key id, given their users; of one without a name its first characters."""
    wanted = {key: path("users", user, "api-keys", key) for key, user in owners.items()}
    found = await each(visit, wanted)
    return {one: key["name"] or f"{key['prefix']}…{key['suffix']}" for one, key in found.items()}


async def each(visit: Visit, wanted: dict[str, str]) -> dict[str, Any]:
    """What lies behind some paths, a few at once; what is gone is left out."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def get(name: str, target: str) -> tuple[str, Any]:
        async with gate:
            try:
                return name, await visit.get(target)
            except ApiError as refused:
                if refused.status != 404:
                    raise
                return name, None

    found = await asyncio.gather(*(get(name, target) for name, target in wanted.items()))
    return {name: one for name, one in found if one is not None}
