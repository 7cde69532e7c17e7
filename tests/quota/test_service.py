"""The hot RPCs as the edge calls them."""

import grpc
import pytest

from gateway.quota.v1 import quota_pb2 as pb
from services.common.errors import from_rpc
from tests.quota.rpc import AS_ADMIN, Rpc, owner_message, reserve_item, settle_item
from tests.quota.world import USD, World, name, now_ms


async def test_a_request_is_held_extended_and_charged_its_real_cost(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner(org_limit=USD)
    item = reserve_item(owner, input_tokens=100, output=50)
    [result] = await rpc.reserve(item)
    assert result.grant.held_nano_usd == 100 * 1000 + 50 * 2000
    assert result.grant.output_price_pico_usd == 2_000_000
    answer = await rpc.checkpoint(
        pb.CheckpointItem(
            reservation_id=item.reservation_id,
            owner=item.owner,
            model=item.model,
            usage=pb.TokenUsage(input_tokens=100, output_tokens=30),
            want_output_tokens=90,
            bound=item.bound,
        )
    )
    assert answer.results[0].output_tokens == 90
    assert answer.results[0].held_nano_usd == 100 * 1000 + 90 * 2000
    [settled] = await rpc.settle(settle_item(item, result.grant, 80, 60))
    assert (settled.state, settled.charged_nano_usd) == (
        pb.RESERVATION_STATE_SETTLED,
        80 * 1000 + 60 * 2000,
    )


async def test_one_refused_item_does_not_touch_its_neighbours(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    good, unpriced = reserve_item(owner), reserve_item(owner, model="nowhere/nothing")
    nameless = reserve_item(owner, reservation_id="{x}")
    results = await rpc.reserve(unpriced, good, nameless)
    assert [r.WhichOneof("outcome") for r in results] == ["refusal", "grant", "refusal"]
    assert results[0].refusal.reason == "MODEL_NOT_PRICED"
    assert 'match = "nowhere/nothing"' in results[0].refusal.message
    assert (results[2].refusal.reason, results[2].refusal.field) == (
        "FIELD_INVALID",
        "reservation_id",
    )


async def test_hot_calls_need_the_service_token(rpc: Rpc) -> None:
    for metadata, reason in (((), "CREDENTIAL_INVALID"), (AS_ADMIN, "PERMISSION_DENIED")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.hot.ReserveQuota(pb.ReserveQuotaRequest(), timeout=1, metadata=metadata)
        assert from_rpc(caught.value).reason == reason


async def test_a_batch_that_is_too_large_is_an_error_that_says_so(ledger: World, rpc: Rpc) -> None:
    item = reserve_item(await ledger.owner())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.reserve(*[item] * 1_001)
    error = from_rpc(caught.value)
    assert (error.reason, error.message) == ("FIELD_INVALID", "items must be at most 1000")
    results = await rpc.reserve(*[reserve_item(await ledger.owner()) for _ in range(3)] * 300)
    assert sum(not r.grant.duplicate for r in results) == 3


async def test_prices_are_told_at_their_dearest_and_only_of_priced_models(rpc: Rpc) -> None:
    answer = await rpc.checkpoint(price_models=["simulator/echo", "nowhere/x", "openai/gpt-5-mini"])
    assert [p.model for p in answer.prices] == ["simulator/echo", "openai/gpt-5-mini"]
    assert answer.prices[0].output_price_pico_usd == 2_000_000
    # Twice the listed 0.25 or priority's 0.45; the catalog's request price.
    assert answer.prices[1].input_price_pico_usd >= 450_000
    assert answer.prices[1].request_price_pico_usd == 100_000_000


async def test_a_settle_that_cannot_be_read_says_which_field(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    item = reserve_item(owner)
    grant = (await rpc.reserve(item))[0].grant
    broken = {
        "outcome": settle_item(item, grant, 1, 1, outcome=0),
        "month": settle_item(item, grant, 1, 1, month="2026-13"),
        "usage": settle_item(item, grant, -1, 1),
        "flags": settle_item(item, grant, 1, 1, flags=["guessed"]),
        "owner.user_id": settle_item(item, grant, 1, 1, owner=pb.Owner(org_id=owner.org)),
    }
    results = await rpc.settle(*broken.values())
    assert [r.refusal.field for r in results] == list(broken)
    assert {r.refusal.reason for r in results} == {"FIELD_INVALID"}


async def test_shares_of_a_day_never_exceed_the_budget(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner(failure_mode="fail-open", fallback_daily=str(10 * USD))
    closed = await ledger.owner()
    orgs = [owner.org, closed.org, name("org")]
    given = {}
    for edge in ("e1", "e2", "e3"):
        answer = await rpc.checkpoint(edge_id=edge, share_org_ids=orgs)
        assert [s.org_id for s in answer.shares] == [owner.org]
        given[edge] = answer.shares[0]
    assert sum(s.share_nano_usd for s in given.values()) <= 10 * USD
    assert given["e1"].expire_time_ms > now_ms()
    again = (await rpc.checkpoint(edge_id="e1", share_org_ids=orgs)).shares[0]
    assert again.share_nano_usd == given["e1"].share_nano_usd


async def test_an_unknown_reservation_is_no_error_at_a_checkpoint(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    answer = await rpc.checkpoint(
        pb.CheckpointItem(
            reservation_id=name("rsv"), owner=owner_message(owner), model="simulator/echo"
        )
    )
    assert answer.results[0].state == pb.RESERVATION_STATE_UNSPECIFIED
    assert not answer.results[0].HasField("refusal")
