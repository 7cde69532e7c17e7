"""Organisations: create, get, list, update, delete."""

from dataclasses import replace
from typing import Any

from gateway.auth.v1 import admin_pb2
from services.auth import model, shape, wire
from services.auth.admin.desk import Desk, once
from services.auth.store import Change, Unchanged
from services.common import keys
from services.common.access import caller
from services.common.errors import PermissionDenied
from services.common.ids import new_id
from services.common.paging import Listed, page

BOUNDS = frozenset({"status", "limit", "fallback_daily", "models", "rpm", "tpm", "concurrency"})
"""What the platform allows an organisation; an admin key bound to it cannot change these."""

_OWN = (
    keys.org_config,
    keys.org_users,
    keys.org_emails,
    keys.org_counts,
    keys.org_expiring,
    keys.provider_keys,
    keys.org_dek,
)


class Organizations(Desk):
    @once(admin_pb2.Organization)
    async def CreateOrganization(
        self, request: admin_pb2.CreateOrganizationRequest, context: Any
    ) -> admin_pb2.Organization:
        caller.get().require_platform()
        fields = shape.ORGANIZATION.created(request.organization)
        now = self.store.now()
        org = new_id("org")
        made = model.Organization(org_id=org, created=now, updated=now, revision=1, **fields)

        async def decide() -> Change[model.Organization]:
            change = Change(made, "organization.create", org, after=model.facts(made.row()))
            change.first.append(("zadd", keys.ORGS, {org: 0}))
            change.write_row(keys.org_config(org), made.row())
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return wire.organization(await self.store.change(org, self.author(), decide))

    async def GetOrganization(
        self, request: admin_pb2.GetOrganizationRequest, context: Any
    ) -> admin_pb2.Organization:
        return wire.organization(await self.see_organization(request.org_id))

    async def ListOrganizations(
        self, request: admin_pb2.ListOrganizationsRequest, context: Any
    ) -> admin_pb2.ListOrganizationsResponse:
        bound = caller.get().org

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.Organization]]:
            if bound:
                ids = [bound] if not position else []
            else:
                ids = await self.store.after(keys.ORGS, position, count)
            rows = await self.store.rows(keys.org_config(org) for org in ids)
            found = [
                wire.organization(model.organization(org, row)) if row else None
                for org, row in zip(ids, rows, strict=True)
            ]
            return [
                (org, shown if shown and request.status in (0, shown.status) else None)
                for org, shown in zip(ids, found, strict=True)
            ]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListOrganizationsResponse(organizations=found, next_page_token=token)

    @once(admin_pb2.Organization)
    async def UpdateOrganization(
        self, request: admin_pb2.UpdateOrganizationRequest, context: Any
    ) -> admin_pb2.Organization:
        org = request.organization.org_id
        await self.see_organization(org, "organization.org_id")

        async def decide() -> Change[model.Organization] | Unchanged[model.Organization]:
            old = await self.see_organization(org, "organization.org_id")
            fields = shape.ORGANIZATION.updated(request.organization, request.update_mask, old)
            new = replace(old, **fields)
            if new == old:
                return Unchanged(old)
            if caller.get().org and any(
                getattr(new, name) != getattr(old, name) for name in BOUNDS
            ):
                raise PermissionDenied(
                    "This admin key is bound to the organisation and cannot change its status, "
                    "budget, fallback limit, models or rates"
                )
            new = replace(new, updated=self.store.now(), revision=old.revision + 1)
            before, after = model.differences(old.row(), new.row())
            change = Change(new, "organization.update", org, before, after)
            change.write_row(keys.org_config(org), new.row(), old.row())
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return wire.organization(await self.store.change(org, self.author(), decide))

    @once(admin_pb2.DeleteOrganizationResponse)
    async def DeleteOrganization(
        self, request: admin_pb2.DeleteOrganizationRequest, context: Any
    ) -> admin_pb2.DeleteOrganizationResponse:
        org = request.org_id
        await self.see_organization(org)
        caller.get().require_platform()

        async def decide() -> (
            Change[admin_pb2.DeleteOrganizationResponse]
            | Unchanged[admin_pb2.DeleteOrganizationResponse]
        ):
            old = await self.see_organization(org)
            users, providers = await self.store.read(
                ("zrange", keys.org_users(org), 0, -1), ("hlen", keys.provider_keys(org))
            )
            owned = await self.store.keys_of(org, users)
            answer = admin_pb2.DeleteOrganizationResponse(
                users_deleted=len(users),
                api_keys_revoked=sum(key.status == model.ACTIVE for key in owned),
                provider_keys_deleted=providers,
            )
            if request.validate_only:
                return Unchanged(answer)
            change = Change(answer, "organization.delete", org, before=model.facts(old.row()))
            for name in _OWN:
                change.do("DEL", name(org))
            for user in users:
                change.do("DEL", keys.user_config(org, user))
                change.do("DEL", keys.user_keys(org, user))
            for key in owned:
                change.do("DEL", keys.key_config(org, key.key_id))
                change.last.append(("delete", keys.api_key(key.hash)))
            return change

        return await self.store.change(org, self.author(), decide)
