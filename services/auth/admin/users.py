"""Users: create, get, list, update, delete."""

from dataclasses import replace
from typing import Any

from gateway.auth.v1 import admin_pb2
from services.auth import model, shape, wire
from services.auth.admin.desk import Desk, once
from services.auth.store import Change, Unchanged
from services.common import keys
from services.common.access import caller
from services.common.errors import AlreadyExists, InvalidField
from services.common.ids import new_id
from services.common.paging import Listed, page

_ORGS_AT_ONCE = 20


class Users(Desk):
    @once(admin_pb2.User)
    async def CreateUser(
        self, request: admin_pb2.CreateUserRequest, context: Any
    ) -> admin_pb2.User:
        fields = shape.USER.created(request.user)
        org = (await self.see_organization(request.user.org_id, "user.org_id")).org_id
        now = self.store.now()
        user = new_id("user")
        made = model.User(user_id=user, org_id=org, created=now, updated=now, **fields)

        async def decide() -> Change[model.User]:
            await self.see_organization(org, "user.org_id")
            await self._require_free(org, made.email)
            change = Change(made, "user.create", user, after=model.facts(made.row()))
            change.first.append(("set", keys.user_directory(user), org))
            change.write_row(keys.user_config(org, user), made.row())
            change.do("ZADD", keys.org_users(org), 0, user)
            change.do("HSET", keys.org_emails(org), made.email.lower(), user)
            change.do("HINCRBY", keys.org_counts(org), "users", 1)
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return wire.user(await self.store.change(org, self.author(), decide))

    async def GetUser(self, request: admin_pb2.GetUserRequest, context: Any) -> admin_pb2.User:
        return wire.user(await self.see_user(request.user_id))

    async def ListUsers(
        self, request: admin_pb2.ListUsersRequest, context: Any
    ) -> admin_pb2.ListUsersResponse:
        only = request.org_id or caller.get().org
        if only:
            await self.see_organization(only)

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.User]]:
            places = await self._places(only, position, count, request.email.lower())
            there = [(org, user) for org, user in places if user]
            rows = await self.store.rows(keys.user_config(org, user) for org, user in there)
            found = {
                user: wire.user(model.user(org, user, row))
                for (org, user), row in zip(there, rows, strict=True)
                if row and request.status in (0, wire.STATUS[row["status"]])
            }
            return [(f"{org} {user}", found.get(user)) for org, user in places]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListUsersResponse(users=found, next_page_token=token)

    async def _places(
        self, only: str, position: str, count: int, email: str
    ) -> list[tuple[str, str]]:
        """Up to ``count`` users after a position ("<org> <user>"), by organisation and id, fewer
        only at the end. An organisation that is done is a place too, without a user."""
        org, _, user = position.partition(" ")
        if position and not (keys.is_id(org) and (not user or keys.is_id(user))):
            raise InvalidField("page_token", "is not a token of this list")
        if only:
            return [(only, one) for one in await self._some(only, user, count, email)]
        places: list[tuple[str, str]] = []
        if user:
            places += [(org, one) for one in await self._some(org, user, count, email)]
        while len(places) < count:
            orgs = await self.store.after(keys.ORGS, org, _ORGS_AT_ONCE)
            if not orgs:
                break
            lists = await self.store.read(*(_first(name, "", count, email) for name in orgs))
            for name, found in zip(orgs, lists, strict=True):
                places += [(name, one) for one in _ids(found)] or [(name, "")]
            org = orgs[-1]
        return places[:count]

    async def _some(self, org: str, user: str, count: int, email: str) -> list[str]:
        (found,) = await self.store.read(_first(org, user, count, email))
        return [one for one in _ids(found) if one > user]

    @once(admin_pb2.User)
    async def UpdateUser(
        self, request: admin_pb2.UpdateUserRequest, context: Any
    ) -> admin_pb2.User:
        user = request.user.user_id
        org = (await self.see_user(user, "user.user_id")).org_id

        async def decide() -> Change[model.User] | Unchanged[model.User]:
            old = await self.see_user(user, "user.user_id")
            new = replace(old, **shape.USER.updated(request.user, request.update_mask, old))
            if new == old:
                return Unchanged(old)
            new = replace(new, updated=self.store.now())
            before, after = model.differences(old.row(), new.row())
            change = Change(new, "user.update", user, before, after)
            if new.email.lower() != old.email.lower():
                await self._require_free(org, new.email)
                change.do("HDEL", keys.org_emails(org), old.email.lower())
            change.write_row(keys.user_config(org, user), new.row(), old.row())
            change.do("HSET", keys.org_emails(org), new.email.lower(), user)
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return wire.user(await self.store.change(org, self.author(), decide))

    @once(admin_pb2.DeleteUserResponse)
    async def DeleteUser(
        self, request: admin_pb2.DeleteUserRequest, context: Any
    ) -> admin_pb2.DeleteUserResponse:
        user = request.user_id
        org = (await self.see_user(user)).org_id

        async def decide() -> (
            Change[admin_pb2.DeleteUserResponse] | Unchanged[admin_pb2.DeleteUserResponse]
        ):
            old = await self.see_user(user)
            owned = await self.store.keys_of(org, [user])
            active = sum(key.status == model.ACTIVE for key in owned)
            answer = admin_pb2.DeleteUserResponse(api_keys_revoked=active)
            if request.validate_only:
                return Unchanged(answer)
            change = Change(answer, "user.delete", user, before=model.facts(old.row()))
            change.do("DEL", keys.user_config(org, user))
            change.do("DEL", keys.user_keys(org, user))
            change.do("ZREM", keys.org_users(org), user)
            change.do("HDEL", keys.org_emails(org), old.email.lower())
            for key in owned:
                change.do("DEL", keys.key_config(org, key.key_id))
                change.do("ZREM", keys.org_expiring(org), key.key_id)
                change.last.append(("delete", keys.api_key(key.hash)))
            for name, number in (
                ("users", 1),
                ("keys", len(owned)),
                ("active_keys", active),
                ("revoked_keys", len(owned) - active),
            ):
                change.do("HINCRBY", keys.org_counts(org), name, -number)
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return await self.store.change(org, self.author(), decide)

    async def _require_free(self, org: str, email: str) -> None:
        (owner,) = await self.store.read(("hget", keys.org_emails(org), email.lower()))
        if owner is not None:
            raise AlreadyExists(
                "The organisation has a user with this e-mail address",
                metadata={"resource": "user", "field": "user.email"},
            )


def _first(org: str, user: str, count: int, email: str) -> tuple[Any, ...]:
    """The command that finds an organisation's users after ``user``, or the one with an address."""
    if email:
        return ("hget", keys.org_emails(org), email)
    return ("zrangebylex", keys.org_users(org), f"({user}" if user else "-", "+", 0, count)


def _ids(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else list(found or ())
