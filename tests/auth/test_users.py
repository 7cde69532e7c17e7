"""Users: addresses are unique, organisations fixed, lists complete."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.auth.v1 import admin_pb2
from services.common.errors import AlreadyExists, InvalidField, NotFound
from tests.auth.conftest import USD, Auth


async def test_what_was_created_is_read_back(auth: Auth) -> None:
    org = await auth.org()
    made = await auth.user(org.org_id, "Ada@Example.com", name="Ada", allowed_models=["a/*"])
    assert made.user_id.startswith("user_")
    assert (made.email, made.name, made.org_id) == ("Ada@Example.com", "Ada", org.org_id)
    assert made == await auth.admin.GetUser(user_id=made.user_id)


@pytest.mark.parametrize(
    "email",
    ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example", "ada@-x.com",
     "ada@example..com", "ada@exa_mple.com\n", "a@b.c" * 60, "<ada@example.com>"],
)  # fmt: skip
async def test_what_is_no_address_is_refused(auth: Auth, email: str) -> None:
    org = await auth.org()
    with pytest.raises(InvalidField) as refused:
        await auth.user(org.org_id, email)
    assert refused.value.field == "user.email"


@pytest.mark.parametrize("email", ["ada.lovelace+test@mail.example.co.uk", "ünï@exämple.de"])
async def test_what_is_an_address_is_accepted(auth: Auth, email: str) -> None:
    org = await auth.org()
    assert (await auth.user(org.org_id, email)).email == email


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"monthly_limit_nano_usd": None}, "user.monthly_limit_nano_usd"),
        ({"monthly_limit_nano_usd": -1}, "user.monthly_limit_nano_usd"),
        ({"name": "x" * 201}, "user.name"),
        ({"rates": {"requests_per_minute": -1}}, "user.rates.requests_per_minute"),
        ({"org_id": ""}, "user.org_id"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_made(
    auth: Auth, fields: dict[str, Any], field: str
) -> None:
    org = await auth.org()
    before = await auth.everything()
    asked = {"org_id": org.org_id, "email": "a@b.de", "monthly_limit_nano_usd": 1, **fields}
    with pytest.raises(InvalidField) as refused:
        await auth.admin.CreateUser(user=asked)
    assert refused.value.field == field
    assert await auth.everything() == before


async def test_an_unknown_organisation_is_not_found_and_nothing_is_made(auth: Auth) -> None:
    with pytest.raises(NotFound):
        await auth.user("org_unknown")
    assert await auth.everything() == {}


async def test_an_address_is_unique_in_its_organisation_without_case(auth: Auth) -> None:
    org, other = await auth.org(), await auth.org()
    await auth.user(org.org_id, "ada@example.com")
    before = await auth.everything()
    with pytest.raises(AlreadyExists) as refused:
        await auth.user(org.org_id, "ADA@example.com")
    assert await auth.everything() == before
    assert refused.value.metadata == {"resource": "user", "field": "user.email"}
    await auth.user(other.org_id, "ada@example.com")


async def test_of_simultaneous_creations_with_one_address_one_wins(auth: Auth) -> None:
    org = await auth.org()
    done = await asyncio.gather(
        *(auth.user(org.org_id, "ada@example.com") for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, admin_pb2.User) for one in done) == 1
    assert sum(isinstance(one, AlreadyExists) for one in done) == 9
    counts = await auth.admin.GetDirectoryCounts(org_id=org.org_id)
    assert counts.users == 1


async def test_a_changed_address_frees_the_old_one_and_takes_the_new(auth: Auth) -> None:
    org = await auth.org()
    ada = await auth.user(org.org_id, "ada@example.com")
    bob = await auth.user(org.org_id, "bob@example.com")
    with pytest.raises(AlreadyExists):
        await auth.admin.UpdateUser(user={"user_id": ada.user_id, "email": "Bob@example.com"})
    await auth.admin.UpdateUser(user={"user_id": ada.user_id, "email": "Ada@example.com"})
    await auth.admin.UpdateUser(user={"user_id": ada.user_id, "email": "countess@example.com"})
    await auth.admin.UpdateUser(user={"user_id": bob.user_id, "email": "ada@example.com"})
    found = await auth.admin.ListUsers(org_id=org.org_id, email="ADA@example.com")
    assert [user.user_id for user in found.users] == [bob.user_id]


async def test_a_user_does_not_move_to_another_organisation(auth: Auth) -> None:
    org, other = await auth.org(), await auth.org()
    user = await auth.user(org.org_id)
    with pytest.raises(InvalidField) as refused:
        await auth.admin.UpdateUser(user={"user_id": user.user_id, "org_id": other.org_id})
    assert (refused.value.field, refused.value.problem) == ("user.org_id", "cannot be changed")
    with pytest.raises(InvalidField):
        await auth.admin.UpdateUser(
            user={"user_id": user.user_id, "org_id": org.org_id},
            update_mask={"paths": ["org_id"]},
        )
    new = await auth.admin.UpdateUser(
        user={"user_id": user.user_id, "org_id": org.org_id, "monthly_limit_nano_usd": 2 * USD}
    )
    assert (new.org_id, new.monthly_limit_nano_usd) == (org.org_id, 2 * USD)


async def test_a_limit_of_a_user_cannot_be_taken_away(auth: Auth) -> None:
    org = await auth.org()
    user = await auth.user(org.org_id)
    with pytest.raises(InvalidField) as refused:
        await auth.admin.UpdateUser(
            user={"user_id": user.user_id}, update_mask={"paths": ["monthly_limit_nano_usd"]}
        )
    assert refused.value.field == "user.monthly_limit_nano_usd"


async def listed(auth: Auth, **fields: Any) -> list[str]:
    found, token = [], ""
    while True:
        page = await auth.admin.ListUsers(page_token=token, **fields)
        found += [user.user_id for user in page.users]
        token = page.next_page_token
        if not token:
            return found


async def test_pages_hold_every_user_once_of_one_and_of_all_organisations(auth: Auth) -> None:
    orgs = sorted([(await auth.org(f"Org {n}")).org_id for n in range(5)])
    users: dict[str, list[str]] = {}
    for number, org in enumerate(orgs):
        made = [await auth.user(org, f"u{n}@example.com") for n in range(number * 2 % 5)]
        users[org] = sorted(user.user_id for user in made)
    everybody = [user for org in orgs for user in users[org]]
    assert len(everybody) == 10
    for size in (1, 3, 1000):
        assert await listed(auth, page_size=size) == everybody
        assert await listed(auth, page_size=size, org_id=orgs[4]) == users[orgs[4]]
    await auth.admin.UpdateUser(user={"user_id": everybody[2], "status": "STATUS_SUSPENDED"})
    assert await listed(auth, page_size=1, status="STATUS_SUSPENDED") == [everybody[2]]
    assert len(await listed(auth, page_size=1, email="U1@EXAMPLE.COM")) == 3


async def test_many_empty_organisations_do_not_end_the_list(auth: Auth) -> None:
    orgs = sorted([(await auth.org(f"Org {n}")).org_id for n in range(45)])
    user = await auth.user(orgs[-1])
    assert await listed(auth, page_size=2) == [user.user_id]


async def test_deleting_counts_and_takes_the_keys(auth: Auth) -> None:
    _, user, _ = await auth.family()
    second = await auth.key(user.user_id)
    await auth.admin.RevokeApiKey(user_id=user.user_id, key_id=second.api_key.key_id)
    asked = await auth.admin.DeleteUser(user_id=user.user_id, validate_only=True)
    assert asked.api_keys_revoked == 1
    assert await auth.admin.GetUser(user_id=user.user_id) == user
    assert (await auth.admin.DeleteUser(user_id=user.user_id)).api_keys_revoked == 1
    with pytest.raises(NotFound):
        await auth.admin.ListApiKeys(user_id=user.user_id)
    with pytest.raises(NotFound):
        await auth.admin.DeleteUser(user_id=user.user_id)
    assert not [name for name in await auth.everything() if name.startswith(("apikey", "key"))]


async def test_after_deletion_the_address_is_free(auth: Auth) -> None:
    org = await auth.org()
    user = await auth.user(org.org_id)
    await auth.admin.DeleteUser(user_id=user.user_id)
    assert (await auth.user(org.org_id)).user_id != user.user_id
