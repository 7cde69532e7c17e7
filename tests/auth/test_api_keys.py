"""API keys: shown once, ended for good, replaced without a gap."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.auth.v1 import admin_pb2
from services.common import secret
from services.common.errors import InvalidField, NotFound, PreconditionFailed, Unauthenticated
from tests.auth.conftest import USD, Auth

DAY = 86_400


async def test_only_the_hash_of_a_key_is_at_rest(auth: Auth) -> None:
    _, user, made = await auth.family()
    rotated = await auth.admin.RotateApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
    admin = await auth.admin.CreateAdminKey(admin_key={"name": "Grace"})
    stored = repr(await auth.everything())
    for text in (made.secret, rotated.secret, admin.secret):
        assert secret.digest(text) in stored
        assert text not in stored
        assert text[8:40] not in stored


async def test_a_key_has_the_shape_that_scanners_know_and_a_checksum(auth: Auth) -> None:
    _, _, made = await auth.family()
    assert re.fullmatch(r"gw_live_[0-9A-Za-z]{38}", made.secret)
    assert secret.well_formed(made.secret)
    assert (made.api_key.prefix, made.api_key.suffix) == (made.secret[:12], made.secret[-4:])


async def test_what_was_created_is_read_back(auth: Auth) -> None:
    _, user, _ = await auth.family()
    made = await auth.key(
        user.user_id,
        name="CI",
        monthly_limit_nano_usd=USD,
        allowed_models=["openai/*"],
        rates={"concurrent_requests": 2},
        expire_time={"seconds": int(auth.clock.now) + DAY},
        status="STATUS_REVOKED",
        prefix="forged",
    )
    found = await auth.admin.GetApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
    assert found == made.api_key
    assert found.status == admin_pb2.STATUS_ACTIVE
    assert found.org_id == user.org_id
    assert not found.HasField("last_use_time")


async def test_last_use_is_shown_and_survives_an_update(auth: Auth) -> None:
    org, user, made = await auth.family()
    key = made.api_key.key_id
    await auth.kv.hset(f"key:{{{org.org_id}}}:{key}:config", "last_used", "1800000060000")
    found = await auth.admin.UpdateApiKey(
        api_key={"user_id": user.user_id, "key_id": key, "name": "Renamed"}
    )
    assert found.last_use_time.seconds == 1_800_000_060
    assert found == await auth.admin.GetApiKey(user_id=user.user_id, key_id=key)


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"name": "x" * 201}, "api_key.name", "at most 200"),
        ({"monthly_limit_nano_usd": -1}, "api_key.monthly_limit_nano_usd", "negative"),
        ({"expire_time": {"seconds": 1_800_000_000}}, "api_key.expire_time", "in the future"),
        ({"expire_time": {"seconds": 10**15}}, "api_key.expire_time", "valid time"),
        ({"user_id": ""}, "api_key.user_id", "is required"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_made(
    auth: Auth, fields: dict[str, Any], field: str, part: str
) -> None:
    org = await auth.org()
    user = await auth.user(org.org_id)
    before = await auth.everything()
    with pytest.raises(InvalidField) as refused:
        await auth.admin.CreateApiKey(api_key={"user_id": user.user_id, **fields})
    assert refused.value.field == field
    assert part in refused.value.problem
    assert await auth.everything() == before


async def test_a_key_of_an_unknown_user_is_not_made(auth: Auth) -> None:
    with pytest.raises(NotFound):
        await auth.key("user_unknown")
    assert await auth.everything() == {}


async def test_keys_are_listed_newest_first_by_pages(auth: Auth) -> None:
    _, user, first = await auth.family()
    made = [first.api_key.key_id]
    for _ in range(4):
        auth.clock.now += 1
        made.append((await auth.key(user.user_id)).api_key.key_id)
    await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=made[2])
    found, token = [], ""
    while True:
        page = await auth.admin.ListApiKeys(user_id=user.user_id, page_size=2, page_token=token)
        found += [key.key_id for key in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert found == made[::-1]
    revoked = await auth.admin.ListApiKeys(user_id=user.user_id, status="STATUS_REVOKED")
    assert [key.key_id for key in revoked.api_keys] == [made[2]]
    with pytest.raises(InvalidField):
        await auth.admin.ListApiKeys(user_id=user.user_id, page_token="a2V5")


async def test_revoking_twice_changes_nothing_more(auth: Auth) -> None:
    _, user, made = await auth.family()
    first = await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
    assert first.status == admin_pb2.STATUS_REVOKED
    auth.clock.now += 60
    before = await auth.everything()
    again = await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=made.api_key.key_id)
    assert again == first
    assert await auth.everything() == before


async def test_a_revoked_key_cannot_be_changed_back(auth: Auth) -> None:
    _, user, made = await auth.family()
    name = {"user_id": user.user_id, "key_id": made.api_key.key_id}
    await auth.admin.RevokeApiKey(**name)
    with pytest.raises(PreconditionFailed):
        await auth.admin.UpdateApiKey(api_key={**name, "name": "New"})
    with pytest.raises(InvalidField):
        await auth.admin.UpdateApiKey(
            api_key={**name, "status": "STATUS_ACTIVE"}, update_mask={"paths": ["status"]}
        )
    with pytest.raises(Unauthenticated):
        await auth.verify(made.secret)


async def test_limits_and_expiry_of_a_key_can_be_taken_away(auth: Auth) -> None:
    _, user, _ = await auth.family()
    end = {"seconds": int(auth.clock.now) + DAY}
    made = await auth.key(user.user_id, monthly_limit_nano_usd=USD, expire_time=end)
    new = await auth.admin.UpdateApiKey(
        api_key={"user_id": user.user_id, "key_id": made.api_key.key_id},
        update_mask={"paths": ["monthly_limit_nano_usd", "expire_time"]},
    )
    assert not new.HasField("monthly_limit_nano_usd")
    assert not new.HasField("expire_time")
    auth.clock.now += 2 * DAY
    await auth.verify(made.secret)


async def test_both_keys_work_while_they_overlap_and_then_only_the_new(auth: Auth) -> None:
    _, user, _ = await auth.family()
    old = await auth.key(user.user_id, name="CI", monthly_limit_nano_usd=USD)
    new = await auth.admin.RotateApiKey(
        user_id=user.user_id, key_id=old.api_key.key_id, overlap_seconds=60
    )
    assert new.api_key.rotated_from == old.api_key.key_id
    assert (new.api_key.name, new.api_key.monthly_limit_nano_usd) == ("CI", USD)
    assert not new.api_key.HasField("expire_time")
    auth.clock.now += 59
    await auth.verify(old.secret)
    await auth.verify(new.secret)
    auth.clock.now += 1
    with pytest.raises(Unauthenticated):
        await auth.verify(old.secret)
    await auth.verify(new.secret)


async def test_without_overlap_the_old_key_ends_at_once(auth: Auth) -> None:
    _, user, old = await auth.family()
    new = await auth.admin.RotateApiKey(user_id=user.user_id, key_id=old.api_key.key_id)
    with pytest.raises(Unauthenticated):
        await auth.verify(old.secret)
    await auth.verify(new.secret)
    found = await auth.admin.GetApiKey(user_id=user.user_id, key_id=old.api_key.key_id)
    assert found.status == admin_pb2.STATUS_REVOKED


async def test_an_overlap_never_lengthens_the_life_of_the_old_key(auth: Auth) -> None:
    _, user, _ = await auth.family()
    end = int(auth.clock.now) + 30
    old = await auth.key(user.user_id, expire_time={"seconds": end})
    new = await auth.admin.RotateApiKey(
        user_id=user.user_id, key_id=old.api_key.key_id, overlap_seconds=3600
    )
    found = await auth.admin.GetApiKey(user_id=user.user_id, key_id=old.api_key.key_id)
    assert found.expire_time.seconds == end == new.api_key.expire_time.seconds


@pytest.mark.parametrize("overlap", [-1, 30 * DAY + 1])
async def test_an_absurd_overlap_is_refused(auth: Auth, overlap: int) -> None:
    _, user, made = await auth.family()
    with pytest.raises(InvalidField) as refused:
        await auth.admin.RotateApiKey(
            user_id=user.user_id, key_id=made.api_key.key_id, overlap_seconds=overlap
        )
    assert refused.value.field == "overlap_seconds"


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_dead_key_is_not_rotated(auth: Auth, end: str) -> None:
    _, user, _ = await auth.family()
    made = await auth.key(user.user_id, expire_time={"seconds": int(auth.clock.now) + 60})
    name = {"user_id": user.user_id, "key_id": made.api_key.key_id}
    if end == "revoked":
        await auth.admin.RevokeApiKey(**name)
    else:
        auth.clock.now += 60
    before = await auth.everything()
    with pytest.raises(PreconditionFailed) as refused:
        await auth.admin.RotateApiKey(**name, overlap_seconds=60)
    assert end in refused.value.message
    assert await auth.everything() == before


async def test_a_key_is_only_found_under_its_own_user(auth: Auth) -> None:
    org, _, made = await auth.family()
    other = await auth.user(org.org_id, "bob@example.com")
    name = {"user_id": other.user_id, "key_id": made.api_key.key_id}
    for rpc in ("GetApiKey", "RevokeApiKey", "RotateApiKey"):
        with pytest.raises(NotFound):
            await getattr(auth.admin, rpc)(**name)
    with pytest.raises(NotFound):
        await auth.admin.UpdateApiKey(api_key={**name, "name": "x"})
    await auth.verify(made.secret)
