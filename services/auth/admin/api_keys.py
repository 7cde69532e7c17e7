"""API keys: create, get, list, update, revoke, rotate."""

from dataclasses import replace
from typing import Any

from gateway.auth.v1 import admin_pb2
from services.auth import model, rules, shape, wire
from services.auth.admin.desk import Desk, once
from services.auth.store import Change, Unchanged
from services.common import keys, secret
from services.common.errors import InvalidField, PreconditionFailed
from services.common.ids import new_id
from services.common.paging import Listed, page


class ApiKeys(Desk):
    @once(admin_pb2.CreateApiKeyResponse)
    async def CreateApiKey(
        self, request: admin_pb2.CreateApiKeyRequest, context: Any
    ) -> admin_pb2.CreateApiKeyResponse:
        now = self.store.now()
        fields = shape.API_KEY.created(request.api_key)
        _require_future(fields, now)
        owner = await self.see_user(request.api_key.user_id, "api_key.user_id")
        text, made = _minted(owner.org_id, owner.user_id, now, fields)

        async def decide() -> Change[model.Key]:
            await self.see_user(owner.user_id, "api_key.user_id")
            change = Change(made, "api_key.create", made.key_id, after=model.facts(made.row()))
            _add(change, made)
            return change

        await self.store.change(owner.org_id, self.author(), decide)
        return admin_pb2.CreateApiKeyResponse(api_key=wire.api_key(made), secret=text)

    async def GetApiKey(
        self, request: admin_pb2.GetApiKeyRequest, context: Any
    ) -> admin_pb2.ApiKey:
        return wire.api_key(await self.see_key(request.user_id, request.key_id))

    async def ListApiKeys(
        self, request: admin_pb2.ListApiKeysRequest, context: Any
    ) -> admin_pb2.ListApiKeysResponse:
        owner = await self.see_user(request.user_id)
        org, index = owner.org_id, keys.user_keys(owner.org_id, owner.user_id)

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.ApiKey]]:
            first = 0
            if position:
                (rank,) = await self.store.read(("zrevrank", index, position))
                if rank is None:
                    raise InvalidField("page_token", "is not a token of this list")
                first = rank + 1
            (ids,) = await self.store.read(("zrevrange", index, first, first + count - 1))
            rows = await self.store.rows(keys.key_config(org, key) for key in ids)
            return [
                (key, wire.api_key(model.key(org, key, row)))
                if row and request.status in (0, wire.STATUS[row["status"]])
                else (key, None)
                for key, row in zip(ids, rows, strict=True)
            ]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListApiKeysResponse(api_keys=found, next_page_token=token)

    @once(admin_pb2.ApiKey)
    async def UpdateApiKey(
        self, request: admin_pb2.UpdateApiKeyRequest, context: Any
    ) -> admin_pb2.ApiKey:
        asked = request.api_key
        seen = await self.see_key(asked.user_id, asked.key_id, "api_key.")

        async def decide() -> Change[model.Key] | Unchanged[model.Key]:
            old = await self.see_key(asked.user_id, asked.key_id, "api_key.")
            fields = shape.API_KEY.updated(asked, request.update_mask, old)
            new = replace(old, **fields)
            if new == old:
                return Unchanged(old)
            if old.status == model.REVOKED:
                raise PreconditionFailed("The key is revoked", metadata={"field": "key_id"})
            if new.expires != old.expires:
                _require_future(fields, self.store.now())
            before, after = model.differences(old.row(), new.row())
            change = Change(new, "api_key.update", new.key_id, before, after)
            _write(change, new, old)
            return change

        return wire.api_key(await self.store.change(seen.org_id, self.author(), decide))

    @once(admin_pb2.ApiKey)
    async def RevokeApiKey(
        self, request: admin_pb2.RevokeApiKeyRequest, context: Any
    ) -> admin_pb2.ApiKey:
        seen = await self.see_key(request.user_id, request.key_id)

        async def decide() -> Change[model.Key] | Unchanged[model.Key]:
            old = await self.see_key(request.user_id, request.key_id)
            if old.status == model.REVOKED:
                return Unchanged(old)
            new = _revoked(old, self.store.now())
            before, after = model.differences(old.row(), new.row())
            change = Change(new, "api_key.revoke", new.key_id, before, after)
            _write(change, new, old)
            return change

        return wire.api_key(await self.store.change(seen.org_id, self.author(), decide))

    @once(admin_pb2.CreateApiKeyResponse)
    async def RotateApiKey(
        self, request: admin_pb2.RotateApiKeyRequest, context: Any
    ) -> admin_pb2.CreateApiKeyResponse:
        try:
            overlap = rules.overlap(request.overlap_seconds)
        except ValueError as error:
            raise InvalidField("overlap_seconds", str(error)) from None
        seen = await self.see_key(request.user_id, request.key_id)
        now = self.store.now()
        text, minted = _minted(seen.org_id, seen.user, now, {"rotated_from": seen.key_id})

        async def decide() -> Change[model.Key]:
            old = await self.see_key(request.user_id, request.key_id)
            if not old.lives(now):
                state = "revoked" if old.status == model.REVOKED else "expired"
                raise PreconditionFailed(f"The key is {state}", metadata={"field": "key_id"})
            new = _like(old, minted)
            end = min(now + overlap * 1000, old.expires or now + overlap * 1000)
            ended = replace(old, expires=end) if overlap else _revoked(old, now)
            before, after = model.differences(old.row(), ended.row())
            change = Change(new, "api_key.rotate", old.key_id, before, after)
            change.after["new_key_id"] = new.key_id
            _write(change, ended, old)
            _add(change, new)
            return change

        new = await self.store.change(seen.org_id, self.author(), decide)
        return admin_pb2.CreateApiKeyResponse(api_key=wire.api_key(new), secret=text)


def _minted(org: str, user: str, now: int, fields: dict[str, Any]) -> tuple[str, model.Key]:
    text = secret.mint(secret.API_KEY)
    made = model.Key(
        key_id=new_id("key"),
        org_id=org,
        user=user,
        hash=secret.digest(text),
        prefix=text[:12],
        suffix=text[-4:],
        created=now,
        **fields,
    )
    return text, made


def _like(old: model.Key, minted: model.Key) -> model.Key:
    """The new key with everything that was granted to the old one."""
    granted = ("name", "limit", "models", "rpm", "tpm", "concurrency", "expires")
    return replace(minted, **{name: getattr(old, name) for name in granted})


def _revoked(old: model.Key, now: int) -> model.Key:
    return replace(old, status=model.REVOKED, revoked=now)


def _add(change: Change[Any], made: model.Key) -> None:
    owner = {"org": made.org_id, "user": made.user, "key": made.key_id}
    change.first.append(("hset", keys.api_key(made.hash), None, None, owner))
    change.do("ZADD", keys.user_keys(made.org_id, made.user), made.created, made.key_id)
    change.do("HINCRBY", keys.org_counts(made.org_id), "keys", 1)
    change.do("HINCRBY", keys.org_counts(made.org_id), "active_keys", 1)
    _write(change, made)


def _write(change: Change[Any], new: model.Key, old: model.Key | None = None) -> None:
    org = new.org_id
    change.write_row(keys.key_config(org, new.key_id), new.row(), old.row() if old else None)
    if new.expires is not None and new.status == model.ACTIVE:
        change.do("ZADD", keys.org_expiring(org), new.expires, new.key_id)
    elif old is not None and old.expires is not None:
        change.do("ZREM", keys.org_expiring(org), new.key_id)
    if old is not None and old.status != new.status:
        change.do("HINCRBY", keys.org_counts(org), "active_keys", -1)
        change.do("HINCRBY", keys.org_counts(org), "revoked_keys", 1)
    change.do("HINCRBY", keys.org_config(org), "revision", 1)


def _require_future(fields: dict[str, Any], now: int) -> None:
    if fields.get("expires") is None:
        return
    try:
        rules.expiry(fields["expires"], now)
    except ValueError as error:
        raise InvalidField("api_key.expire_time", str(error)) from None
