"""Provider keys: write-only, useless without the master key, useless anywhere else."""

from __future__ import annotations

import orjson
import pytest

from services.auth.vault import Vault
from services.common.errors import InvalidField, NotFound, PermissionDenied, PreconditionFailed
from services.common.settings import SettingsError
from tests.auth.conftest import MASTER, Auth, Clock, running

CREDENTIAL = "sk-proj-" + "Canary0123456789" * 3
NEWER = "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI="


async def credential(auth: Auth, org: str, provider: str = "openai") -> str:
    answer = await auth.edge.GetProviderCredential(org_id=org, provider=provider)
    return str(answer.credential)


async def stored(auth: Auth, org: str = "", provider: str = "openai") -> str:
    org = org or (await auth.org()).org_id
    await auth.admin.SetProviderKey(org_id=org, provider=provider, credential=CREDENTIAL)
    return org


async def test_only_our_own_processes_read_a_credential(auth: Auth) -> None:
    org = await stored(auth)
    assert await credential(auth, org) == CREDENTIAL
    with pytest.raises(PermissionDenied):
        await auth.admin.GetProviderCredential(org_id=org, provider="openai")


async def test_people_see_a_hint_and_a_fingerprint(auth: Auth) -> None:
    org = (await auth.org()).org_id
    made = await auth.admin.SetProviderKey(org_id=org, provider="openai", credential=CREDENTIAL)
    assert (made.hint, len(made.fingerprint)) == ("sk-…6789", 16)
    assert CREDENTIAL not in str(made)
    listed = await auth.admin.ListProviderKeys(org_id=org)
    assert list(listed.provider_keys) == [made]
    short = await auth.admin.SetProviderKey(org_id=org, provider="local", credential="hunter2")
    assert short.hint == "…"


async def test_e1_nothing_of_a_credential_is_at_rest(auth: Auth) -> None:
    org = await stored(auth)
    await stored(auth, org)
    assert "Canary" not in repr(await auth.everything())


async def test_the_principal_names_the_providers_with_a_key_of_their_own(auth: Auth) -> None:
    org, _, made = await auth.family()
    before = await auth.verify(made.secret)
    assert list(before.providers_with_key) == []
    await stored(auth, org.org_id, "openai")
    await stored(auth, org.org_id, "anthropic")
    after = await auth.verify(made.secret)
    assert list(after.providers_with_key) == ["anthropic", "openai"]
    assert after.revision == before.revision + 2
    await auth.admin.DeleteProviderKey(org_id=org.org_id, provider="openai")
    assert list((await auth.verify(made.secret)).providers_with_key) == ["anthropic"]


async def test_setting_again_replaces_and_deleting_removes(auth: Auth) -> None:
    org = await stored(auth)
    await auth.admin.SetProviderKey(org_id=org, provider="openai", credential="sk-second-key-000")
    assert await credential(auth, org) == "sk-second-key-000"
    await auth.admin.DeleteProviderKey(org_id=org, provider="openai")
    with pytest.raises(NotFound):
        await credential(auth, org)
    with pytest.raises(NotFound):
        await auth.admin.DeleteProviderKey(org_id=org, provider="openai")


async def test_a_ciphertext_moved_to_another_place_does_not_open(auth: Auth) -> None:
    org, other = await stored(auth), await stored(auth)
    key, theirs = f"org:{{{org}}}:provider-keys", f"org:{{{other}}}:provider-keys"
    envelope = await auth.kv.hget(key, "openai")
    await auth.kv.hset(theirs, "openai", envelope)
    with pytest.raises(PreconditionFailed):
        await credential(auth, other)
    await auth.kv.set(f"org:{{{other}}}:dek", await auth.kv.get(f"org:{{{org}}}:dek"))
    with pytest.raises(PreconditionFailed):
        await credential(auth, other)
    await auth.kv.hset(key, "anthropic", envelope)
    with pytest.raises(PreconditionFailed):
        await credential(auth, org, "anthropic")
    older = {**orjson.loads(envelope), "version": 2}
    await auth.kv.hset(key, "openai", orjson.dumps(older).decode())
    with pytest.raises(PreconditionFailed):
        await credential(auth, org)


async def test_without_a_master_key_nothing_is_stored(kv_flush: str) -> None:
    async with running(kv_flush, Clock(), master_key="") as auth:
        org = (await auth.org()).org_id
        before = await auth.everything()
        with pytest.raises(PreconditionFailed) as refused:
            await stored(auth, org)
        assert "GATEWAY_MASTER_KEY" in refused.value.message
        with pytest.raises(PreconditionFailed):
            await auth.admin.RewrapProviderKeys()
        assert await auth.everything() == before


async def test_master_keys_rotate_without_a_gap(kv_flush: str) -> None:
    async with running(kv_flush, Clock()) as auth:
        org, other = await stored(auth), await stored(auth)
        await stored(auth, org, "anthropic")
        assert (await auth.admin.RewrapProviderKeys()).rewrapped == 0
    async with running(kv_flush, Clock(), master_key=f"{NEWER}, {MASTER}") as auth:
        assert await credential(auth, org) == CREDENTIAL
        assert (await auth.admin.RewrapProviderKeys()).rewrapped == 3
        assert (await auth.admin.RewrapProviderKeys()).rewrapped == 0
    async with running(kv_flush, Clock(), master_key=NEWER) as auth:
        assert await credential(auth, org) == CREDENTIAL
        assert await credential(auth, org, "anthropic") == CREDENTIAL
        assert await credential(auth, other) == CREDENTIAL
        trail = await auth.admin.VerifyAuditTrail(org_id=org)
        assert list(trail.breaks) == []
    async with running(kv_flush, Clock(), master_key=MASTER) as auth:
        with pytest.raises(PreconditionFailed) as refused:
            await credential(auth, org)
        assert "not in GATEWAY_MASTER_KEY" in refused.value.message
        with pytest.raises(PreconditionFailed) as refused:
            await auth.admin.RewrapProviderKeys()
        assert org in refused.value.message


def test_a_data_key_belongs_to_its_organisation() -> None:
    vault = Vault(f"{NEWER},{MASTER}")
    wrapped = Vault(MASTER).new_data_key("org_a")
    assert vault.rewrap("org_a", wrapped) is not None
    with pytest.raises(PreconditionFailed):
        vault.rewrap("org_b", wrapped)


@pytest.mark.parametrize("credential", ["", "a b", "x" * 8193, "sk-é", "sk-\n"])
async def test_a_bad_credential_is_named_and_not_repeated(auth: Auth, credential: str) -> None:
    org = (await auth.org()).org_id
    with pytest.raises(InvalidField) as refused:
        await auth.admin.SetProviderKey(org_id=org, provider="openai", credential=credential)
    assert refused.value.field == "credential"
    assert not credential or credential not in refused.value.message


@pytest.mark.parametrize("provider", ["", "OpenAI", "a b", "x" * 65, "{x}"])
async def test_a_bad_provider_is_named(auth: Auth, provider: str) -> None:
    org = (await auth.org()).org_id
    with pytest.raises(InvalidField) as refused:
        await auth.admin.SetProviderKey(org_id=org, provider=provider, credential="x")
    assert refused.value.field == "provider"


@pytest.mark.parametrize("text", ["hunter2", "11" * 31, "11" * 33, "IiIi", f"{MASTER},zz"])
def test_a_master_key_that_is_none_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Vault(text)
    assert "GATEWAY_MASTER_KEY" in str(refused.value)
    assert text not in str(refused.value)
