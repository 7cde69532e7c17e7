"""Provider keys: set, list, delete, and wrap anew after a change of master keys."""

from typing import Any

import orjson

from gateway.auth.v1 import admin_pb2
from services.auth import model, rules, vault, wire
from services.auth.admin.desk import Desk, not_found, once
from services.auth.store import Change, Unchanged
from services.common import keys
from services.common.access import caller
from services.common.errors import InvalidField, PreconditionFailed
from services.common.paging import Listed, page
from services.common.trail import Author

_ORGS_AT_ONCE = 100


class ProviderKeys(Desk):
    @once(admin_pb2.ProviderKey)
    async def SetProviderKey(
        self, request: admin_pb2.SetProviderKeyRequest, context: Any
    ) -> admin_pb2.ProviderKey:
        provider = _checked("provider", rules.provider, request.provider)
        credential = _checked("credential", rules.credential, request.credential)
        org = (await self.see_organization(request.org_id)).org_id

        async def decide() -> Change[admin_pb2.ProviderKey]:
            await self.see_organization(org)
            dek, old = await self.store.read(
                ("get", keys.org_dek(org)), ("hget", keys.provider_keys(org), provider)
            )
            wrapped = dek or self.vault.new_data_key(org)
            version = (orjson.loads(old)["version"] if old else 0) + 1
            envelope = {
                "version": version,
                "sealed": self.vault.seal(org, wrapped, provider, version, credential),
                "hint": model.provider_key_hint(credential),
                "fingerprint": vault.fingerprint(credential),
                "created": self.store.now(),
            }
            shown = _described(org, provider, envelope)
            before, after = (_facts(old), _facts(orjson.dumps(envelope)))
            change = Change(shown, "provider_key.set", provider, before, after)
            change.do("SET", keys.org_dek(org), wrapped)
            text = orjson.dumps(envelope).decode()
            change.do("HSET", keys.provider_keys(org), provider, text)
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        return await self.store.change(org, self.author(), decide)

    async def ListProviderKeys(
        self, request: admin_pb2.ListProviderKeysRequest, context: Any
    ) -> admin_pb2.ListProviderKeysResponse:
        org = (await self.see_organization(request.org_id)).org_id

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.ProviderKey]]:
            (stored,) = await self.store.read(("hgetall", keys.provider_keys(org)))
            names = sorted(name for name in stored if name > position)[:count]
            return [(name, _described(org, name, orjson.loads(stored[name]))) for name in names]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListProviderKeysResponse(provider_keys=found, next_page_token=token)

    @once(admin_pb2.DeleteProviderKeyResponse)
    async def DeleteProviderKey(
        self, request: admin_pb2.DeleteProviderKeyRequest, context: Any
    ) -> admin_pb2.DeleteProviderKeyResponse:
        provider = _checked("provider", rules.provider, request.provider)
        org = (await self.see_organization(request.org_id)).org_id

        async def decide() -> Change[None]:
            await self.see_organization(org)
            (old,) = await self.store.read(("hget", keys.provider_keys(org), provider))
            if old is None:
                raise not_found("provider_key", provider)
            change = Change(None, "provider_key.delete", provider, before=_facts(old))
            change.do("HDEL", keys.provider_keys(org), provider)
            change.do("HINCRBY", keys.org_config(org), "revision", 1)
            return change

        await self.store.change(org, self.author(), decide)
        return admin_pb2.DeleteProviderKeyResponse()

    @once(admin_pb2.RewrapProviderKeysResponse)
    async def RewrapProviderKeys(
        self, request: admin_pb2.RewrapProviderKeysRequest, context: Any
    ) -> admin_pb2.RewrapProviderKeysResponse:
        caller.get().require_platform()
        self.vault.require_master_key()
        total, stuck, position = 0, [], ""
        while orgs := await self.store.after(keys.ORGS, position, _ORGS_AT_ONCE):
            position = orgs[-1]
            wrapped = await self.store.read(*(("get", keys.org_dek(org)) for org in orgs))
            for org in (org for org, dek in zip(orgs, wrapped, strict=True) if dek):
                try:
                    total += await self._rewrap(org, self.author())
                except PreconditionFailed:
                    stuck.append(org)
        if stuck:
            raise PreconditionFailed(
                f"{total} keys are rewrapped, but not those of {len(stuck)} organisations, which "
                f"no key in GATEWAY_MASTER_KEY opens: {', '.join(stuck[:10])}"
            )
        return admin_pb2.RewrapProviderKeysResponse(rewrapped=total)

    async def _rewrap(self, org: str, author: Author) -> int:
        async def decide() -> Change[int] | Unchanged[int]:
            dek, number = await self.store.read(
                ("get", keys.org_dek(org)), ("hlen", keys.provider_keys(org))
            )
            anew = self.vault.rewrap(org, dek) if dek else None
            if anew is None:
                return Unchanged(0)
            change = Change(number, "provider_keys.rewrap", org)
            change.do("SET", keys.org_dek(org), anew)
            return change

        return await self.store.change(org, author, decide)


def _checked(field: str, rule: Any, text: str) -> str:
    try:
        return str(rule(text))
    except ValueError as error:
        raise InvalidField(field, str(error)) from None


def _facts(envelope: str | bytes | None) -> dict[str, str]:
    if envelope is None:
        return {}
    stored = orjson.loads(envelope)
    return {"hint": stored["hint"], "fingerprint": stored["fingerprint"]}


def _described(org: str, provider: str, envelope: dict[str, Any]) -> admin_pb2.ProviderKey:
    return admin_pb2.ProviderKey(
        org_id=org,
        provider=provider,
        hint=envelope["hint"],
        fingerprint=envelope["fingerprint"],
        create_time=wire.to_time(envelope["created"]),
    )
