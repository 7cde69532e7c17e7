"""What the RPCs for people have in common: who asks, what they may see, and writing once."""

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.auth import model
from services.auth.store import Store
from services.auth.vault import Vault
from services.common import keys
from services.common.access import caller
from services.common.errors import InvalidField, NotFound
from services.common.idempotency import Idempotency
from services.common.trail import Author

M = TypeVar("M", bound=Message)
D = TypeVar("D", bound="Desk")


class Desk:
    def __init__(self, store: Store, vault: Vault, idempotency: Idempotency) -> None:
        self.store = store
        self.vault = vault
        self.idempotency = idempotency
        self.started = time.monotonic()

    def author(self) -> Author:
        found = caller.get()
        return Author(found.name, found.request_id)

    async def see_organization(self, org: str, field: str = "org_id") -> model.Organization:
        """The organisation. Raises NotFound, alike for unknown and foreign ones."""
        if not org:
            raise InvalidField(field, "is required")
        found = None
        if keys.is_id(org) and caller.get().may_see(org):
            found = await self.store.organization(org)
        if found is None:
            raise not_found("organization", org)
        return found

    async def see_user(self, user: str, field: str = "user_id") -> model.User:
        """The user. Raises NotFound, alike for unknown and foreign ones."""
        if not user:
            raise InvalidField(field, "is required")
        found = None
        if keys.is_id(user):
            org = await self.store.org_of(user)
            if org is not None and caller.get().may_see(org):
                found = await self.store.user(org, user)
        if found is None:
            raise not_found("user", user)
        return found

    async def see_key(self, user: str, key: str, root: str = "") -> model.Key:
        """A key of this user. Raises NotFound."""
        owner = await self.see_user(user, f"{root}user_id")
        if not key:
            raise InvalidField(f"{root}key_id", "is required")
        found = await self.store.key(owner.org_id, key) if keys.is_id(key) else None
        if found is None or found.user != owner.user_id:
            raise not_found("api_key", key)
        return found


def not_found(resource: str, name: str) -> NotFound:
    title = resource.replace("_", " ").capitalize()
    return NotFound(
        f"{title} {name[:64]} not found", metadata={"resource": resource, "id": name[:64]}
    )


def once(
    answer: type[M],
) -> Callable[[Callable[[D, Any, Any], Awaitable[M]]], Callable[[D, Any, Any], Awaitable[M]]]:
    """Makes an RPC answer repeats of an idempotency key with its first answer."""

    def decorate(
        method: Callable[[D, Any, Any], Awaitable[M]],
    ) -> Callable[[D, Any, Any], Awaitable[M]]:
        @functools.wraps(method)
        async def call(desk: D, request: Any, context: Any) -> M:
            return await desk.idempotency.once(
                method.__name__, request, answer, lambda: method(desk, request, context)
            )

        return call

    return decorate
