"""Admin keys: create, list, revoke, and who is asking."""

from dataclasses import replace
from typing import Any

from gateway.auth.v1 import admin_pb2
from services.auth import model, rules, wire
from services.auth.admin.desk import Desk, not_found, once
from services.auth.store import Change, Unchanged
from services.common import keys, secret
from services.common.access import RESERVED_NAMES, caller
from services.common.errors import AlreadyExists, InvalidField
from services.common.ids import new_id
from services.common.paging import Listed, page

_MAX_NAME = 64


class AdminKeys(Desk):
    @once(admin_pb2.CreateAdminKeyResponse)
    async def CreateAdminKey(
        self, request: admin_pb2.CreateAdminKeyRequest, context: Any
    ) -> admin_pb2.CreateAdminKeyResponse:
        caller.get().require_platform()
        asked = request.admin_key
        try:
            name = rules.name(asked.name, longest=_MAX_NAME)
        except ValueError as error:
            raise InvalidField("admin_key.name", str(error)) from None
        if asked.org_id:
            await self.see_organization(asked.org_id, "admin_key.org_id")
        text = secret.mint(secret.ADMIN_KEY)
        made = model.AdminKey(
            admin_key_id=new_id("adminkey"), name=name, org=asked.org_id, created=self.store.now()
        )
        digest = secret.digest(text)

        async def decide() -> Change[model.AdminKey]:
            taken = {key.name for key, _ in await self._all() if key.status == model.ACTIVE}
            if name in taken or name in RESERVED_NAMES:
                raise AlreadyExists(
                    "There is an admin key with this name; the audit trail tells people by it",
                    metadata={"resource": "admin_key", "field": "admin_key.name"},
                )
            facts = {"name": name, **({"org_id": made.org} if made.org else {})}
            change = Change(made, "admin_key.create", made.admin_key_id, after=facts)
            change.write_row(keys.admin_key(digest), made.row())
            change.do("HSET", keys.ADMIN_KEYS, made.admin_key_id, digest)
            return change

        await self.store.change(keys.PLATFORM, self.author(), decide)
        return admin_pb2.CreateAdminKeyResponse(admin_key=_shown(made), secret=text)

    async def ListAdminKeys(
        self, request: admin_pb2.ListAdminKeysRequest, context: Any
    ) -> admin_pb2.ListAdminKeysResponse:
        caller.get().require_platform()
        listed = sorted(await self._all(), key=lambda found: found[0].admin_key_id)

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.AdminKey]]:
            shown = [(key.admin_key_id, _shown(key)) for key, _ in listed]
            rest: list[Listed[admin_pb2.AdminKey]] = [one for one in shown if one[0] > position]
            return rest[:count]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListAdminKeysResponse(admin_keys=found, next_page_token=token)

    @once(admin_pb2.AdminKey)
    async def RevokeAdminKey(
        self, request: admin_pb2.RevokeAdminKeyRequest, context: Any
    ) -> admin_pb2.AdminKey:
        caller.get().require_platform()
        asked = request.admin_key_id
        if not asked:
            raise InvalidField("admin_key_id", "is required")

        async def decide() -> Change[model.AdminKey] | Unchanged[model.AdminKey]:
            found = {key.admin_key_id: (key, digest) for key, digest in await self._all()}
            if asked not in found:
                raise not_found("admin_key", asked)
            old, digest = found[asked]
            if old.status == model.REVOKED:
                return Unchanged(old)
            new = replace(old, status=model.REVOKED, revoked=self.store.now())
            change = Change(new, "admin_key.revoke", asked, {"name": old.name})
            change.write_row(keys.admin_key(digest), new.row(), old.row())
            return change

        return _shown(await self.store.change(keys.PLATFORM, self.author(), decide))

    async def GetAdminIdentity(
        self, request: admin_pb2.GetAdminIdentityRequest, context: Any
    ) -> admin_pb2.AdminIdentity:
        found = caller.get()
        return admin_pb2.AdminIdentity(name=found.name, org_id=found.org)

    async def _all(self) -> list[tuple[model.AdminKey, str]]:
        """Every admin key and the hash it is stored under: a handful."""
        (index,) = await self.store.read(("hgetall", keys.ADMIN_KEYS))
        rows = await self.store.rows(keys.admin_key(digest) for digest in index.values())
        return [
            (model.admin_key(row), digest)
            for digest, row in zip(index.values(), rows, strict=True)
            if row
        ]


def _shown(key: model.AdminKey) -> admin_pb2.AdminKey:
    return admin_pb2.AdminKey(
        admin_key_id=key.admin_key_id,
        name=key.name,
        org_id=key.org,
        status=wire.STATUS[key.status],
        create_time=wire.to_time(key.created),
        revoke_time=wire.to_time(key.revoked),
    )
