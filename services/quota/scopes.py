"""Which organisation, user or key a person asks about, and what may be told of it."""

from dataclasses import dataclass

from gateway.quota.v1 import quota_pb2
from services.common import keys
from services.common.access import caller
from services.common.errors import InvalidField, NotFound
from services.quota.books import Books


@dataclass(frozen=True, slots=True)
class Scope:
    """``config`` and ``quota`` are keys of the KV."""

    org: str
    user: str
    key: str
    config: str
    quota: str

    def owner(self) -> quota_pb2.Owner:
        return quota_pb2.Owner(org_id=self.org, user_id=self.user, key_id=self.key)


async def organisation(books: Books, org: str, field: str = "org_id") -> str:
    """``org``, if it exists or existed and the caller may see it. Raises InvalidField, NotFound."""
    if not keys.is_id(org):
        raise InvalidField(field, "is required: an organisation's id, like org_…")
    if not caller.get().may_see(org) or not await books.knows(org):
        raise missing("organization", org)
    return org


async def user_scope(books: Books, user: str, field: str = "user_id") -> Scope:
    """The scope of a user, found by the user's id alone. Raises InvalidField, NotFound."""
    if not keys.is_id(user):
        raise InvalidField(field, "is required: a user's id, like user_…")
    org = await books.org_of(user)
    if not org or not caller.get().may_see(org):
        raise missing("user", user)
    return Scope(org, user, "", keys.user_config(org, user), keys.user_quota(org, user))


async def owner_scope(books: Books, owner: quota_pb2.Owner) -> Scope:
    """The narrowest scope that ``owner`` names. Raises InvalidField, NotFound."""
    if owner.key_id:
        return await _key_scope(books, owner)
    if owner.user_id:
        scope = await user_scope(books, owner.user_id, "owner.user_id")
        if owner.org_id not in ("", scope.org):
            raise missing("user", owner.user_id)
        return scope
    org = await organisation(books, owner.org_id, "owner.org_id")
    return Scope(org, "", "", keys.org_config(org), keys.org_quota(org))


async def _key_scope(books: Books, owner: quota_pb2.Owner) -> Scope:
    key = owner.key_id
    if not keys.is_id(key):
        raise InvalidField("owner.key_id", "is not a key's id, like key_…")
    org = await organisation(books, owner.org_id, "owner.org_id")
    scope = Scope(org, owner.user_id, key, keys.key_config(org, key), keys.key_quota(org, key))
    config = await books.config(scope.config)
    if not config and not await books.has_counters(scope.quota):
        raise missing("api_key", key)
    user = config.get("user", owner.user_id)
    if owner.user_id not in ("", user):
        raise missing("api_key", key)
    return Scope(org, user, key, scope.config, scope.quota)


def missing(resource: str, name: str) -> NotFound:
    title = resource.replace("_", " ").capitalize()
    facts = {"resource": resource, "id": name[:64]}
    return NotFound(f"{title} {name[:64]} not found", metadata=facts)
