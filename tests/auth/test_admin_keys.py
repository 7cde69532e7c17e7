"""Admin keys: named, so that the audit trail can tell people apart."""

from __future__ import annotations

import re

import pytest

from gateway.auth.v1 import admin_pb2
from services.common.errors import AlreadyExists, InvalidField, NotFound
from tests.auth.conftest import Auth


async def test_a_named_key_acts_under_its_name(auth: Auth) -> None:
    made = await auth.admin.CreateAdminKey(admin_key={"name": "Grace Hopper"})
    assert re.fullmatch(r"gw_admin_[0-9A-Za-z]{38}", made.secret)
    grace = auth.admin.but(made.secret)
    who = await grace.GetAdminIdentity()
    assert (who.name, who.org_id) == ("Grace Hopper", "")
    org = await grace.CreateOrganization(organization={"name": "X", "monthly_budget_nano_usd": 1})
    (entry,) = (await auth.admin.ListAuditEntries(org_id=org.org_id)).entries
    assert entry.actor == "Grace Hopper"
    assert (await auth.admin.GetAdminIdentity()).name == "admin"


async def test_two_living_keys_never_share_a_name(auth: Auth) -> None:
    made = await auth.admin.CreateAdminKey(admin_key={"name": "Grace"})
    for taken in ("Grace", "admin", "service", "auth", "quota"):
        with pytest.raises(AlreadyExists):
            await auth.admin.CreateAdminKey(admin_key={"name": taken})
    await auth.admin.RevokeAdminKey(admin_key_id=made.admin_key.admin_key_id)
    await auth.admin.CreateAdminKey(admin_key={"name": "Grace"})


async def test_keys_are_listed_without_their_secrets(auth: Auth) -> None:
    org = await auth.org()
    names = {"A": "", "B": org.org_id, "C": ""}
    made = [
        (await auth.admin.CreateAdminKey(admin_key={"name": name, "org_id": org_id})).admin_key
        for name, org_id in names.items()
    ]
    revoked = await auth.admin.RevokeAdminKey(admin_key_id=made[0].admin_key_id)
    assert revoked.status == admin_pb2.STATUS_REVOKED
    assert await auth.admin.RevokeAdminKey(admin_key_id=made[0].admin_key_id) == revoked
    first = await auth.admin.ListAdminKeys(page_size=2)
    last = await auth.admin.ListAdminKeys(page_token=first.next_page_token)
    found = [*first.admin_keys, *last.admin_keys]
    expected = sorted([revoked, *made[1:]], key=lambda key: key.admin_key_id)
    assert found == expected


async def test_bad_fields_are_named(auth: Auth) -> None:
    for name in ("", "x" * 65, "a\tb"):
        with pytest.raises(InvalidField) as refused:
            await auth.admin.CreateAdminKey(admin_key={"name": name})
        assert refused.value.field == "admin_key.name"
    with pytest.raises(NotFound):
        await auth.admin.CreateAdminKey(admin_key={"name": "X", "org_id": "org_unknown"})
    with pytest.raises(NotFound):
        await auth.admin.RevokeAdminKey(admin_key_id="adminkey_unknown")
    with pytest.raises(InvalidField):
        await auth.admin.RevokeAdminKey()
    assert await auth.everything() == {}
