"""The RPCs for people: usage, rankings, journal, proof, reset."""

import grpc
import pytest

from gateway.quota.v1 import admin_pb2 as pb
from gateway.quota.v1 import quota_pb2
from services.common import keys, secret
from services.common.errors import GatewayError, from_rpc
from services.quota.items import Owner
from services.quota.months import month_of
from tests.quota.rpc import AS_ADMIN, AS_EDGE, Rpc, owner_message, reserve_item, settle_item
from tests.quota.world import USD, World, name, now_ms

MONTH = month_of(now_ms())


async def spend(rpc: Rpc, owner: Owner, *, tokens: int = 100, requests: int = 1) -> None:
    """Each request costs 1000 nano-USD a token."""
    items = [reserve_item(owner, tokens, 0) for _ in range(requests)]
    results = await rpc.reserve(*items)
    await rpc.settle(
        *(settle_item(i, r.grant, tokens, 0) for i, r in zip(items, results, strict=True))
    )


async def refused(call: object) -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return from_rpc(caught.value)


async def bound_admin(ledger: World, org: str) -> tuple[tuple[str, str]]:
    """Metadata of an admin key that is bound to one organisation."""
    key = secret.mint(secret.ADMIN_KEY)
    await ledger.kv.hset(
        keys.admin_key(secret.digest(key)), mapping={"name": "lee", "org": org, "status": "active"}
    )
    return (("authorization", f"Bearer {key}"),)


async def test_usage_tells_spending_and_what_is_left_for_each_scope(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner(org_limit=USD, user_limit=USD // 2)
    await spend(rpc, owner)
    await rpc.reserve(reserve_item(owner, 50, 0))
    full = owner_message(owner)
    for asked, limit in (
        (full, None),
        (quota_pb2.Owner(user_id=owner.user), USD // 2),
        (quota_pb2.Owner(org_id=owner.org), USD),
    ):
        request = pb.GetUsageRequest(owner=asked)
        usage = await rpc.admin.GetUsage(request, metadata=AS_EDGE)
        assert (usage.spent_nano_usd, usage.held_nano_usd) == (100_000, 50_000)
        assert (usage.request_count, usage.input_tokens, usage.held_count) == (1, 100, 1)
        assert usage.month == MONTH
        if limit is None:
            assert not usage.HasField("limit_nano_usd")
        else:
            assert usage.remaining_nano_usd == limit - 150_000


async def test_an_admin_of_one_organisation_does_not_find_another(ledger: World, rpc: Rpc) -> None:
    mine, other = await ledger.owner(), await ledger.owner()
    lee = await bound_admin(ledger, mine.org)
    for request in (
        rpc.admin.GetUsage(
            pb.GetUsageRequest(owner=quota_pb2.Owner(user_id=other.user)), metadata=lee
        ),
        rpc.admin.ListJournal(pb.ListJournalRequest(org_id=other.org), metadata=lee),
        rpc.admin.VerifyLedger(pb.VerifyLedgerRequest(org_id=other.org), metadata=lee),
        rpc.admin.ListUsageRecords(pb.ListUsageRecordsRequest(org_id=other.org), metadata=lee),
        rpc.admin.ListTopUsers(pb.ListTopUsersRequest(org_id=other.org), metadata=lee),
        rpc.admin.GetMetrics(pb.GetMetricsRequest(org_id=other.org), metadata=lee),
        rpc.admin.ResetUserQuota(
            pb.ResetUserQuotaRequest(user_id=other.user, reason="x"), metadata=lee
        ),
    ):
        assert (await refused(request)).reason == "RESOURCE_NOT_FOUND"
    await spend(rpc, mine, tokens=10)
    await spend(rpc, other, tokens=10)
    total = await rpc.admin.GetMetrics(pb.GetMetricsRequest(), metadata=lee)
    assert (total.request_count, total.spent_nano_usd) == (1, 10_000)
    top = await rpc.admin.ListTopUsers(pb.ListTopUsersRequest(), metadata=lee)
    assert [user.user_id for user in top.users] == [mine.user]


async def test_a_reset_lets_a_user_spend_again_and_the_books_stay(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner(user_limit=150_000)
    await spend(rpc, owner)
    item = reserve_item(owner, 100, 0)
    assert (await rpc.reserve(item))[0].refusal.reason == "BUDGET_EXHAUSTED"
    request = pb.ResetUserQuotaRequest(user_id=owner.user, reason="a demo went wild")
    metadata = (*AS_ADMIN, ("idempotency-key", name("i")), ("x-request-id", "req_9"))
    usage = await rpc.admin.ResetUserQuota(request, metadata=metadata)
    assert (usage.spent_nano_usd, usage.total_spent_nano_usd) == (0, 100_000)
    assert (await rpc.reserve(item))[0].grant.held_nano_usd == 100_000
    await rpc.admin.ResetUserQuota(request, metadata=metadata)
    entries = [e for e in await ledger.journal(owner.org) if e["k"] == "reset"]
    assert [(e["why"], e["rq"]) for e in entries] == [("a demo went wild", "req_9")]
    verdict = await rpc.admin.VerifyLedger(
        pb.VerifyLedgerRequest(org_id=owner.org), metadata=AS_ADMIN
    )
    assert (verdict.spent_nano_usd, list(verdict.differences)) == (100_000, [])


async def test_a_reset_needs_a_reason_and_a_living_user(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()

    async def attempt(**fields: str) -> GatewayError:
        request = pb.ResetUserQuotaRequest(**fields)
        return await refused(rpc.admin.ResetUserQuota(request, metadata=AS_ADMIN))

    assert (await attempt(user_id=owner.user, reason=" ")).metadata["field"] == "reason"
    assert (await attempt(user_id=owner.user, reason="x" * 501)).metadata["field"] == "reason"
    assert (await attempt(user_id="user_nobody", reason="x")).metadata["id"] == "user_nobody"
    await ledger.kv.delete(keys.user_config(owner.org, owner.user))
    assert (await attempt(user_id=owner.user, reason="x")).reason == "RESOURCE_NOT_FOUND"


async def test_users_are_ranked_by_cost_and_by_requests(ledger: World, rpc: Rpc) -> None:
    dear = await ledger.owner()
    busy = await ledger.owner(org=dear.org)
    await ledger.kv.hset(keys.user_config(dear.org, dear.user), "email", "dear@example.com")
    await spend(rpc, dear, tokens=1_000)
    await spend(rpc, busy, tokens=10, requests=3)
    for ranking, expected in ((0, [dear.user, busy.user]), (2, [busy.user, dear.user])):
        request = pb.ListTopUsersRequest(org_id=dear.org, ranking=ranking)  # type: ignore[arg-type]
        top = await rpc.admin.ListTopUsers(request, metadata=AS_ADMIN)
        assert [user.user_id for user in top.users] == expected
    by_cost = await rpc.admin.ListTopUsers(
        pb.ListTopUsersRequest(org_id=dear.org, page_size=1), metadata=AS_ADMIN
    )
    assert [(u.email, u.spent_nano_usd) for u in by_cost.users] == [("dear@example.com", 1_000_000)]


async def test_usage_records_come_in_pages_each_one_once(ledger: World, rpc: Rpc) -> None:
    first = await ledger.owner()
    owners = [first] + [await ledger.owner(org=first.org) for _ in range(6)]
    for n, owner in enumerate(owners):
        await spend(rpc, owner, tokens=n + 1)
    found, token, pages = [], "", 0
    while True:
        request = pb.ListUsageRecordsRequest(org_id=first.org, page_size=3, page_token=token)
        page = await rpc.admin.ListUsageRecords(request, metadata=AS_ADMIN)
        assert len(page.records) <= 3
        found += [(r.user_id, r.spent_nano_usd, r.input_tokens) for r in page.records]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert pages == 3
    expected = sorted((o.user, (n + 1) * 1000, n + 1) for n, o in enumerate(owners))
    assert found == expected  # each once, in order
    request = pb.ListUsageRecordsRequest(org_id=first.org, user_id=owners[2].user)
    page = await rpc.admin.ListUsageRecords(request, metadata=AS_ADMIN)
    assert [(r.key_id, r.model) for r in page.records] == [(owners[2].key, "simulator/echo")]


async def test_records_made_while_the_pages_are_read_repeat_none(ledger: World, rpc: Rpc) -> None:
    first = await ledger.owner()
    met: list[tuple[str, str]] = []
    token, more = "", True
    await spend(rpc, first)
    while more:
        request = pb.ListUsageRecordsRequest(org_id=first.org, page_size=2, page_token=token)
        page = await rpc.admin.ListUsageRecords(request, metadata=AS_ADMIN)
        met += [(r.user_id, r.key_id) for r in page.records]
        for _ in range(3 if len(met) < 20 else 0):
            await spend(rpc, await ledger.owner(org=first.org, user=name("user")))
        token = page.next_page_token
        more = bool(token)
    assert len(met) == len(set(met))
    assert met == sorted(met)


async def test_records_of_all_organisations_come_in_one_list(ledger: World, rpc: Rpc) -> None:
    owners = [await ledger.owner() for _ in range(5)]
    mine = {owner.org for owner in owners}
    await ledger.owner()  # one that spends nothing
    for owner in owners:
        await spend(rpc, await ledger.owner(org=owner.org))
        await spend(rpc, owner)
    found, token = [], ""
    while True:
        request = pb.ListUsageRecordsRequest(page_size=3, page_token=token)
        page = await rpc.admin.ListUsageRecords(request, metadata=AS_ADMIN)
        found += [(r.org_id, r.user_id) for r in page.records if r.org_id in mine]
        token = page.next_page_token
        if not token:
            break
    assert len(found) == 10
    assert found == sorted(found)
    assert {org for org, _ in found} == mine
    lee = await bound_admin(ledger, owners[1].org)
    page = await rpc.admin.ListUsageRecords(pb.ListUsageRecordsRequest(), metadata=lee)
    assert {r.org_id for r in page.records} == {owners[1].org}
    of_one = pb.ListUsageRecordsRequest(user_id=owners[2].user)
    page = await rpc.admin.ListUsageRecords(of_one, metadata=AS_ADMIN)
    assert [(r.org_id, r.user_id) for r in page.records] == [(owners[2].org, owners[2].user)]
    foreign = rpc.admin.ListUsageRecords(of_one, metadata=lee)
    assert (await refused(foreign)).reason == "RESOURCE_NOT_FOUND"


async def test_the_journal_comes_in_pages_and_within_times(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    await spend(rpc, owner, requests=5)
    entries, token = [], ""
    while True:
        request = pb.ListJournalRequest(org_id=owner.org, page_size=4, page_token=token)
        page = await rpc.admin.ListJournal(request, metadata=AS_ADMIN)
        entries += page.entries
        token = page.next_page_token
        if not token:
            break
    assert [e.kind for e in entries] == ["reserve"] * 5 + ["settle"] * 5
    assert sum(e.held_nano_usd for e in entries) == 0
    assert sum(e.spent_nano_usd for e in entries) == 500_000
    assert entries[-1].usage.input_tokens == 100
    assert abs(entries[0].time.ToMilliseconds() - now_ms()) < 60_000
    backwards, token = [], ""
    while True:
        request = pb.ListJournalRequest(
            org_id=owner.org, page_size=4, page_token=token, descending=True
        )
        page = await rpc.admin.ListJournal(request, metadata=AS_ADMIN)
        backwards += page.entries
        token = page.next_page_token
        if not token:
            break
    assert backwards == entries[::-1]
    early = pb.ListJournalRequest(org_id=owner.org, end_time=entries[0].time)
    assert not (await rpc.admin.ListJournal(early, metadata=AS_ADMIN)).entries
    late = pb.ListJournalRequest(org_id=owner.org, start_time=entries[0].time)
    assert len((await rpc.admin.ListJournal(late, metadata=AS_ADMIN)).entries) == 10


async def test_bad_pages_months_and_ids_are_named(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    calls = {
        "page_token": rpc.admin.ListJournal(
            pb.ListJournalRequest(org_id=owner.org, page_token="bm8"), metadata=AS_ADMIN
        ),
        "page_size": rpc.admin.ListJournal(
            pb.ListJournalRequest(org_id=owner.org, page_size=-1), metadata=AS_ADMIN
        ),
        "month": rpc.admin.GetMetrics(pb.GetMetricsRequest(month="november"), metadata=AS_ADMIN),
        "org_id": rpc.admin.VerifyLedger(pb.VerifyLedgerRequest(), metadata=AS_ADMIN),
        "owner.org_id": rpc.admin.GetUsage(pb.GetUsageRequest(), metadata=AS_ADMIN),
    }
    for field, call in calls.items():
        error = await refused(call)
        assert (error.reason, error.metadata["field"]) == ("FIELD_INVALID", field)


async def test_a_key_is_not_found_under_another_user(ledger: World, rpc: Rpc) -> None:
    owner, other = await ledger.owner(), await ledger.owner()
    for asked in (
        quota_pb2.Owner(org_id=owner.org, user_id=other.user, key_id=owner.key),
        quota_pb2.Owner(org_id=other.org, key_id=owner.key),
        quota_pb2.Owner(org_id=other.org, user_id=owner.user),
    ):
        error = await refused(
            rpc.admin.GetUsage(pb.GetUsageRequest(owner=asked), metadata=AS_ADMIN)
        )
        assert error.reason == "RESOURCE_NOT_FOUND"
