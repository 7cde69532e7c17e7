"""The audit trail: every write is in it, and nothing can be taken out unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.errors import (
    Exhausted,
    Internal,
    InvalidField,
    NotFound,
    Unauthenticated,
)
from tests.auth.conftest import USD, Auth

EVENT = "01890a5d-ac96-774b-bcce-b302099a8057"


async def entries(auth: Auth, org: str = "", **fields: Any) -> list[Any]:
    return list((await auth.admin.ListAuditEntries(org_id=org, **fields)).entries)


async def breaks(auth: Auth, org: str) -> list[str]:
    return list((await auth.admin.VerifyAuditTrail(org_id=org)).breaks)


async def trail_of_five(auth: Auth) -> tuple[str, str, list[Any]]:
    """An organisation with five entries, the key of its trail, and the stored entries."""
    org = (await auth.org()).org_id
    for number in range(4):
        await auth.admin.UpdateOrganization(organization={"org_id": org, "name": f"Name {number}"})
    key = f"audit:{{{org}}}"
    assert await breaks(auth, org) == []
    return org, key, await auth.kv.xrange(key)


async def test_every_write_tells_who_did_what_to_whom(auth: Auth) -> None:
    admin = auth.admin.but(x_request_id="req_1")
    org = (
        await admin.CreateOrganization(
            organization={"name": "Demo", "monthly_budget_nano_usd": USD}
        )
    ).org_id
    user = await auth.user(org)
    await admin.UpdateUser(user={"user_id": user.user_id, "monthly_limit_nano_usd": 2 * USD})
    key = await auth.key(user.user_id, name="CI")
    name = {"user_id": user.user_id, "key_id": key.api_key.key_id}
    await auth.admin.UpdateApiKey(api_key={**name, "allowed_models": ["a/*"]})
    new = await auth.admin.RotateApiKey(**name)
    await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=new.api_key.key_id)
    await auth.admin.SetProviderKey(org_id=org, provider="openai", credential="sk-" + "x" * 40)
    await auth.admin.DeleteProviderKey(org_id=org, provider="openai")
    await auth.admin.DeleteUser(user_id=user.user_id)
    await auth.admin.UpdateOrganization(organization={"org_id": org, "status": "STATUS_SUSPENDED"})
    await auth.admin.DeleteOrganization(org_id=org)
    found = await entries(auth, org)
    assert [(entry.action, entry.target) for entry in found] == [
        ("organization.create", org),
        ("user.create", user.user_id),
        ("user.update", user.user_id),
        ("api_key.create", key.api_key.key_id),
        ("api_key.update", key.api_key.key_id),
        ("api_key.rotate", key.api_key.key_id),
        ("api_key.revoke", new.api_key.key_id),
        ("provider_key.set", "openai"),
        ("provider_key.delete", "openai"),
        ("user.delete", user.user_id),
        ("organization.update", org),
        ("organization.delete", org),
    ]
    assert {entry.actor for entry in found} == {"admin"}
    assert [entry.request_id for entry in found[:3]] == ["req_1", "", "req_1"]
    assert json.loads(found[2].before) == {"monthly_limit_nano_usd": str(10 * USD)}
    assert json.loads(found[2].after) == {"monthly_limit_nano_usd": str(2 * USD)}
    assert json.loads(found[4].after) == {"allowed_models": "a/*"}
    assert found[4].before == ""
    assert json.loads(found[5].after)["new_key_id"] == new.api_key.key_id
    assert found[0].time.seconds == int(auth.clock.now)
    assert await breaks(auth, org) == []


async def test_a_refused_write_leaves_no_entry(auth: Auth) -> None:
    org = (await auth.org()).org_id
    with pytest.raises(InvalidField):
        await auth.admin.UpdateOrganization(
            organization={"org_id": org, "monthly_budget_nano_usd": -1}
        )
    assert len(await entries(auth, org)) == 1


async def test_pages_hold_every_entry_once_in_both_directions(auth: Auth) -> None:
    org, _, stored = await trail_of_five(auth)
    ids = [place for place, _ in stored]
    for descending in (False, True):
        found, token = [], ""
        while True:
            page = await auth.admin.ListAuditEntries(
                org_id=org, page_size=2, page_token=token, descending=descending
            )
            found += [entry.entry_id for entry in page.entries]
            token = page.next_page_token
            if not token:
                break
        assert found == (ids[::-1] if descending else ids)


async def test_entries_are_found_by_time_and_by_action(auth: Auth) -> None:
    org = (await auth.org()).org_id
    start = int(auth.clock.now)
    users = []
    for number in range(3):
        auth.clock.now += 100
        users.append(await auth.user(org, f"u{number}@example.com"))
    await auth.admin.DeleteUser(user_id=users[0].user_id)
    between = {"start_time": {"seconds": start + 100}, "end_time": {"seconds": start + 300}}
    found = await entries(auth, org, **between)
    assert [entry.target for entry in found] == [users[0].user_id, users[1].user_id]
    back = await entries(auth, org, **between, descending=True)
    assert back == found[::-1]
    assert len(await entries(auth, org, action="user.create")) == 3
    assert len(await entries(auth, org, action="user.")) == 4
    assert await entries(auth, org, action="user") == []
    for field in ("start_time", "end_time"):
        with pytest.raises(InvalidField) as refused:
            await entries(auth, org, **{field: {"seconds": 10**15}})
        assert refused.value.field == field


@pytest.mark.parametrize("place", range(5))
async def test_a_removed_entry_is_found(auth: Auth, place: int) -> None:
    org, key, stored = await trail_of_five(auth)
    await auth.kv.xdel(key, stored[place][0])
    (found,) = await breaks(auth, org)
    assert "1 removed" in found
    assert found.startswith(stored[min(place + 1, 4)][0])


async def test_a_removed_trail_is_found(auth: Auth) -> None:
    org, key, _ = await trail_of_five(auth)
    await auth.kv.delete(key)
    (found,) = await breaks(auth, org)
    assert "the newest 5 removed" in found


async def test_an_edited_entry_is_found(auth: Auth) -> None:
    org, key, stored = await trail_of_five(auth)
    stored[2][1]["entry"] = stored[2][1]["entry"].replace("Name 1", "Name 9")
    await rewrite(auth, key, stored)
    (found,) = await breaks(auth, org)
    assert found.startswith(stored[2][0])
    assert "was edited" in found
    assert (await entries(auth, org))[2].entry_id == stored[2][0]


async def test_swapped_entries_are_found(auth: Auth) -> None:
    org, key, stored = await trail_of_five(auth)
    first, second = stored[1], stored[2]
    stored[1], stored[2] = (first[0], second[1]), (second[0], first[1])
    await rewrite(auth, key, stored)
    found = await breaks(auth, org)
    assert [line.split(":")[0] for line in found][:2] == [first[0], second[0]]
    assert all("was moved" in line for line in found[:2])


async def test_an_entry_that_nobody_wrote_here_is_found(auth: Auth) -> None:
    org, key, stored = await trail_of_five(auth)
    await auth.kv.xadd(key, {"entry": stored[0][1]["entry"], "hash": stored[0][1]["hash"]})
    assert len(await breaks(auth, org)) == 2
    await auth.kv.xadd(key, {"entry": "nonsense"})
    assert any("is not an entry of ours" in line for line in await breaks(auth, org))
    assert (await entries(auth, org))[-1].action == "unreadable"


async def test_a_wrong_head_is_found(auth: Auth) -> None:
    org, key, stored = await trail_of_five(auth)
    await auth.kv.set(f"{key}:head", f"4 {stored[3][0]} {stored[3][1]['hash']}")
    (found,) = await breaks(auth, org)
    assert "the head does not name the newest entry" in found


async def rewrite(auth: Auth, key: str, stored: list[Any]) -> None:
    await auth.kv.delete(key)
    for place, fields in stored:
        await auth.kv.xadd(key, fields, id=place)


async def test_a_long_trail_is_verified_to_its_end(auth: Auth) -> None:
    org = (await auth.org()).org_id
    for number in range(520):
        await auth.edge.RecordAuditEvent(
            event_id=f"00000000-0000-0000-0000-{number:012d}", org_id=org, action="grace.start"
        )
    answer = await auth.admin.VerifyAuditTrail(org_id=org)
    assert (answer.entries, list(answer.breaks)) == (521, [])


async def test_an_event_is_recorded_once_however_often_it_is_told(auth: Auth) -> None:
    org = (await auth.org()).org_id
    event = {"event_id": EVENT, "org_id": org, "action": "grace.start", "actor": "edge-1"}
    for _ in range(3):
        await auth.edge.RecordAuditEvent(**event, target=org, details={"limit_usd": "5"})
    found = await entries(auth, org, action="grace.start")
    assert len(found) == 1
    assert (found[0].actor, json.loads(found[0].after)) == ("edge-1", {"limit_usd": "5"})
    await auth.edge.RecordAuditEvent(event_id=EVENT, action="edge.start")
    (entry,) = await entries(auth)
    assert (entry.actor, entry.action, entry.org_id) == ("service", "edge.start", "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": "x"}, "event_id"),
        ({"action": ""}, "action"),
        ({"action": "Grace Start"}, "action"),
        ({"org_id": "{x}"}, "org_id"),
        ({"actor": "x" * 1001}, "actor"),
        ({"details": {"a": "x" * 1001}}, "details"),
    ],
)
async def test_a_bad_event_is_named(auth: Auth, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await auth.edge.RecordAuditEvent(**{"event_id": EVENT, "action": "a.b", **fields})
    assert refused.value.field == field


async def test_an_event_of_an_unknown_organisation_is_not_recorded(auth: Auth) -> None:
    with pytest.raises(NotFound):
        await auth.edge.RecordAuditEvent(event_id=EVENT, action="a.b", org_id="org_unknown")
    assert await auth.everything() == {}


async def test_a_burst_of_wrong_credentials_is_one_entry(auth: Auth) -> None:
    wrong = auth.admin.but("wrong", x_gateway_service="s" * 40, x_gateway_peer="203.0.113.9")
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await wrong.ListOrganizations()
    for _ in range(5):
        with pytest.raises(Exhausted):
            await wrong.ListOrganizations()
    (entry,) = await entries(auth)
    assert (entry.action, entry.target, entry.actor) == (
        "admin.login_failures",
        "203.0.113.9",
        "auth",
    )
    assert json.loads(entry.after) == {"failures": "10"}


async def test_what_the_trail_cannot_take_is_not_done(auth: Auth) -> None:
    org, key, _ = await trail_of_five(auth)
    await auth.kv.xadd(key, {"entry": "far ahead"}, id="9999999999999-0")
    before = await auth.everything()
    with pytest.raises(Internal):
        await auth.admin.UpdateOrganization(organization={"org_id": org, "name": "Untold"})
    assert await auth.everything() == before
