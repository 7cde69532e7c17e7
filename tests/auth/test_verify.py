"""What the hot path is told about a key."""

from __future__ import annotations

import pytest

from services.common.errors import InvalidField, PermissionDenied, Unauthenticated
from tests.auth.conftest import USD, Auth


async def test_a_key_identifies_its_user_and_organisation(auth: Auth) -> None:
    org = await auth.org(
        failure_mode="FAILURE_MODE_FAIL_OPEN",
        fallback_daily_limit_nano_usd=5 * USD,
        allowed_models=["openai/*"],
        allow_upstream_cache=True,
    )
    user = await auth.user(org.org_id)
    made = await auth.key(user.user_id, allowed_models=["openai/gpt-5", "simulator/*"])
    found = await auth.verify(made.secret)
    assert (found.org_id, found.user_id) == (org.org_id, user.user_id)
    assert found.key_id == made.api_key.key_id
    assert [list(models.models) for models in found.allowed_models] == [
        ["openai/gpt-5", "simulator/*"],
        ["openai/*"],
    ]
    assert found.failure_mode == "fail-open"
    assert found.fallback_daily_limit_nano_usd == 5 * USD
    assert found.allow_upstream_cache
    assert found.expire_time_ms == 0
    assert found.revision == 3


async def test_a_revoked_key_fails_on_the_next_verify(auth: Auth) -> None:
    _, user, made = await auth.family()
    await auth.verify(made.secret)
    await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
    with pytest.raises(Unauthenticated) as refused:
        await auth.verify(made.secret)
    assert refused.value.reason == "API_KEY_INVALID"


async def test_unknown_revoked_expired_and_deleted_keys_are_refused_alike(auth: Auth) -> None:
    org, user, revoked = await auth.family()
    await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=revoked.api_key.key_id)
    end = int(auth.clock.now) + 60
    expired = await auth.key(user.user_id, expire_time={"seconds": end})
    assert (await auth.verify(expired.secret)).expire_time_ms == end * 1000
    auth.clock.now = end
    other = await auth.user(org.org_id, "bob@example.com")
    deleted = await auth.key(other.user_id)
    await auth.admin.DeleteUser(user_id=other.user_id)
    refusals = set()
    for text in (revoked.secret, expired.secret, deleted.secret, "gw_live_unknown"):
        with pytest.raises(Unauthenticated) as refused:
            await auth.verify(text)
        refusals.add((refused.value.reason, refused.value.message))
    assert refusals == {("API_KEY_INVALID", "The API key is not valid")}


@pytest.mark.parametrize("scope", ["user", "org"])
async def test_a_suspended_user_or_organisation_is_refused_by_name(auth: Auth, scope: str) -> None:
    org, user, made = await auth.family()
    if scope == "user":
        suspended = {"user_id": user.user_id, "status": "STATUS_SUSPENDED"}
        await auth.admin.UpdateUser(user=suspended)
    else:
        suspended = {"org_id": org.org_id, "status": "STATUS_SUSPENDED"}
        await auth.admin.UpdateOrganization(organization=suspended)
    with pytest.raises(PermissionDenied) as refused:
        await auth.verify(made.secret)
    assert refused.value.reason == "SUSPENDED"
    assert refused.value.metadata == {"scope": scope}


async def test_the_revision_grows_with_every_change(auth: Auth) -> None:
    org, user, made = await auth.family()
    first = (await auth.verify(made.secret)).revision
    await auth.admin.UpdateUser(user={"user_id": user.user_id, "name": "Ada"})
    assert (await auth.verify(made.secret)).revision == first + 1
    await auth.key(user.user_id)
    assert (await auth.verify(made.secret)).revision == first + 2
    found = await auth.admin.UpdateOrganization(
        organization={"org_id": org.org_id, "name": "Renamed"}
    )
    assert found.revision == first + 3 == (await auth.verify(made.secret)).revision


async def test_a_hash_that_is_no_hash_names_the_field(auth: Auth) -> None:
    for wrong in ("", "A" * 64, "0" * 63, "{o}"):
        with pytest.raises(InvalidField) as refused:
            await auth.edge.VerifyApiKey(key_hash=wrong)
        assert refused.value.field == "key_hash"


async def test_an_admin_key_does_not_reach_the_hot_path(auth: Auth) -> None:
    with pytest.raises(PermissionDenied):
        await auth.admin.VerifyApiKey(key_hash="0" * 64)


async def test_a_planted_lookup_does_not_make_another_key(auth: Auth) -> None:
    org, user, made = await auth.family()
    planted = {"org": org.org_id, "user": user.user_id, "key": made.api_key.key_id}
    await auth.kv.hset("apikey:" + "0" * 64, mapping=planted)
    with pytest.raises(Unauthenticated):
        await auth.edge.VerifyApiKey(key_hash="0" * 64)
