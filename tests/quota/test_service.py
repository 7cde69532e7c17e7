"""The hot RPCs as the edge calls them."""

from typing import Any

import grpc
import pytest

from gateway.quota.v1 import quota_pb2 as pb
from services.common import keys
from services.common.errors import from_rpc
from services.quota.months import month_of, next_start_ms
from tests.quota.rpc import AS_ADMIN, AS_EDGE, Rpc, owner_message, reserve_item, settle_item
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


async def test_what_comes_along_is_booked_before_the_reserve_is_looked_at(
    ledger: World, rpc: Rpc
) -> None:
    """Ten organisations, whose budgets and places are for one request at a time."""
    owners = [await ledger.owner(org_limit=60_000, concurrency="1") for _ in range(10)]
    items = [reserve_item(owner, input_tokens=20, output=15) for owner in owners]
    grants = [result.grant for result in await rpc.reserve(*items)]
    assert all(grant.held_nano_usd == 50_000 for grant in grants)
    settlements = [
        settle_item(item, grant, 5, 0) for item, grant in zip(items, grants, strict=True)
    ]
    again = [reserve_item(owner, input_tokens=20, output=15) for owner in owners]
    assert {r.refusal.reason for r in await rpc.reserve(*again)} <= {"BUDGET_HELD", "RATE_LIMITED"}
    answer = await rpc.hot.ReserveQuota(
        pb.ReserveQuotaRequest(items=again, settlements=settlements), timeout=60, metadata=AS_EDGE
    )
    assert [r.charged_nano_usd for r in answer.settlement_results] == [5_000] * 10
    assert [r.grant.held_nano_usd for r in answer.results] == [50_000] * 10


async def test_what_comes_along_and_cannot_be_booked_does_not_touch_the_reserve(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner()
    item = reserve_item(owner)
    [result] = await rpc.reserve(item)
    good, bad = settle_item(item, result.grant, 1, 0), settle_item(item, result.grant, 1, 0)
    bad.reservation_id = "{x}"
    far = [settle_item(item, result.grant, 1, 0) for _ in range(1_001)]
    for settlements, reasons in (([bad, good], ["FIELD_INVALID", ""]), (far, [])):
        answer = await rpc.hot.ReserveQuota(
            pb.ReserveQuotaRequest(items=[reserve_item(owner)], settlements=settlements),
            timeout=60,
            metadata=AS_EDGE,
        )
        assert answer.results[0].grant.held_nano_usd
        assert [r.refusal.reason for r in answer.settlement_results] == reasons
    [known] = await rpc.settle(good)
    assert known.duplicate


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
        "model": settle_item(item, grant, 0, 0, outcome=pb.SETTLE_OUTCOME_RELEASED, model="a\0b"),
    }
    results = await rpc.settle(*broken.values())
    assert [r.refusal.field for r in results] == list(broken)
    assert {r.refusal.reason for r in results} == {"FIELD_INVALID"}


async def test_an_unknown_reservation_is_no_error_at_a_checkpoint(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    answer = await rpc.checkpoint(
        pb.CheckpointItem(
            reservation_id=name("rsv"), owner=owner_message(owner), model="simulator/echo"
        )
    )
    assert answer.results[0].state == pb.RESERVATION_STATE_UNSPECIFIED
    assert not answer.results[0].HasField("refusal")


async def test_a_refusal_says_which_limit_what_is_spent_and_what_would_fit(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner(org_limit=USD, user_limit=500_000)
    done, running = reserve_item(owner, 100, 0), reserve_item(owner, 100, 50)
    [result, _] = await rpc.reserve(done, running)
    await rpc.settle(settle_item(done, result.grant, 100, 0))
    [held, exhausted] = await rpc.reserve(
        reserve_item(owner, 100, 120), reserve_item(owner, 401, 0)
    )
    refusal = held.refusal
    assert (refusal.reason, refusal.scope, refusal.held_count) == ("BUDGET_HELD", "user", 1)
    assert (refusal.limit_nano_usd, refusal.spent_nano_usd) == (500_000, 100_000)
    assert (refusal.held_nano_usd, refusal.asked_nano_usd) == (200_000, 340_000)
    assert refusal.affordable_output_tokens == (500_000 - 300_000 - 100_000) // 2_000
    assert refusal.retry_after_ms > 0
    assert refusal.reset_time_ms == next_start_ms(month_of(now_ms()))
    assert exhausted.refusal.reason == "BUDGET_EXHAUSTED"
    assert (exhausted.refusal.retry_after_ms, exhausted.refusal.affordable_output_tokens) == (0, 0)


async def test_rates_are_told_with_every_answer_and_counted_only_when_granted(
    ledger: World, rpc: Rpc
) -> None:
    owner = await ledger.owner(rpm="3", tpm="1000", concurrency="2")
    results = [(await rpc.reserve(reserve_item(owner, 100, 50)))[0] for _ in range(3)]
    assert [r.WhichOneof("outcome") for r in results] == ["grant", "grant", "refusal"]
    refusal = results[2].refusal
    assert (refusal.reason, refusal.rate_kind, refusal.rate_limit) == (
        "RATE_LIMITED",
        "concurrency",
        2,
    )
    for result, remaining in zip(results, (2, 1, 1), strict=True):
        assert (result.request_rate.limit, result.request_rate.remaining) == (3, remaining)
        assert result.token_rate.limit == 1_000
    assert 0 < results[0].request_rate.reset_ms <= 20_000
    free = await ledger.owner()
    [unlimited] = await rpc.reserve(reserve_item(free))
    assert not unlimited.HasField("request_rate") and not unlimited.HasField("token_rate")


async def test_a_stream_whose_budget_runs_out_is_told_to_end(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner(org_limit=200_000)
    item = reserve_item(owner, 100, 20)
    await rpc.reserve(item)

    async def extend(want: int) -> Any:
        note = pb.CheckpointItem(
            reservation_id=item.reservation_id,
            owner=item.owner,
            model=item.model,
            want_output_tokens=want,
            bound=item.bound,
        )
        return (await rpc.checkpoint(note)).results[0]

    partly = await extend(80)
    assert (partly.output_tokens, partly.HasField("refusal")) == (50, False)
    ended = await extend(80)
    assert (ended.output_tokens, ended.refusal.reason) == (50, "BUDGET_EXHAUSTED")
    assert ended.refusal.asked_nano_usd == 100 * 1000 + 80 * 2000
    await ledger.kv.hset(keys.key_config(owner.org, owner.key), "status", "revoked")
    assert (await extend(0)).refusal.reason == "API_KEY_INVALID"


async def test_an_anomaly_is_never_charged_more_than_was_held(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    item, other = reserve_item(owner, 100, 20), reserve_item(owner, 100, 20)
    results = await rpc.reserve(item, other)
    [odd, overrun] = await rpc.settle(
        settle_item(item, results[0].grant, 10**6, 0, flags=["anomaly"]),
        settle_item(other, results[1].grant, 10**6, 0),
    )
    assert odd.charged_nano_usd == results[0].grant.held_nano_usd
    assert overrun.charged_nano_usd == 10**9
    flags = {e["id"]: e["f"] for e in await ledger.journal(owner.org)}
    assert flags[item.reservation_id] == "anomaly"
    assert flags[other.reservation_id] == "overrun"


async def test_streams_answer_message_by_message_as_the_calls_do(ledger: World, rpc: Rpc) -> None:
    owner = await ledger.owner()
    asks = rpc.hot.StreamReserveQuota(timeout=30, metadata=AS_EDGE)
    books = rpc.hot.StreamSettleReservations(timeout=30, metadata=AS_EDGE)
    for _ in range(3):
        item = reserve_item(owner)
        await asks.write(pb.StreamReserveQuotaRequest(items=[item]))
        answer = await asks.read()
        assert not answer.last
        settle = settle_item(item, answer.results[0].grant, 10, 20)
        await books.write(pb.StreamSettleReservationsRequest(items=[settle, settle]))
        booked = (await books.read()).results
        assert [result.duplicate for result in booked] == [False, True]
    for stream in (asks, books):
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    calls = rpc.registry.get_sample_value
    for method in ("StreamReserveQuota", "StreamSettleReservations"):
        labels = {"method": f"/gateway.quota.v1.QuotaService/{method}"}
        assert calls("gateway_rpc_requests_total", {**labels, "reason": "OK"}) == 3
        assert calls("gateway_rpc_duration_seconds_count", labels) == 3
        assert calls("gateway_rpc_in_flight", labels) == 0


async def test_streams_need_the_service_token_and_a_deadline(rpc: Rpc) -> None:
    for metadata, seconds, reason in (
        ((), 9, "CREDENTIAL_INVALID"),
        (AS_ADMIN, 9, "PERMISSION_DENIED"),
        (AS_EDGE, None, "DEADLINE_MISSING"),
    ):
        stream = rpc.hot.StreamReserveQuota(timeout=seconds, metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert from_rpc(caught.value).reason == reason


async def test_an_error_ends_a_stream_and_is_counted(rpc: Rpc) -> None:
    stream = rpc.hot.StreamReserveQuota(timeout=30, metadata=AS_EDGE)
    await stream.write(pb.StreamReserveQuotaRequest(items=[pb.ReserveItem()] * 1_001))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert from_rpc(caught.value).reason == "FIELD_INVALID"
    labels = {"method": "/gateway.quota.v1.QuotaService/StreamReserveQuota"}
    calls = rpc.registry.get_sample_value
    assert calls("gateway_rpc_requests_total", {**labels, "reason": "FIELD_INVALID"}) == 1
    assert calls("gateway_rpc_in_flight", labels) == 0


async def test_a_service_that_leaves_says_so_with_its_next_answer(rpc: Rpc) -> None:
    stream = rpc.hot.StreamSettleReservations(timeout=30, metadata=AS_EDGE)
    for last in (False, True):
        await stream.write(pb.StreamSettleReservationsRequest())
        assert (await stream.read()).last == last
        rpc.service.leave()
