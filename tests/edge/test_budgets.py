"""Budgets: what is held, what is refused and how it says so, what a stream does at its end."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from gateway.auth.v1 import admin_pb2
from tests.edge.wire import bearer, chat, sim
from tests.edge.world import USD, World

PRICE = 10_000
"""Nano-USD of a token of the test catalog's models, in and out."""


def held(gateway: World, member: Any) -> int:
    [reserved] = [e for e in gateway.journal(member) if e.kind == "reserve"]
    return int(reserved.held_nano_usd)


def test_a_cap_of_the_clients_is_held_for_every_choice(gateway: World) -> None:
    member = gateway.member()
    reply = chat(gateway.url, member, max_tokens=50, n=3)
    assert reply.status == 200
    assert "x-gateway-max-tokens" not in reply.headers
    assert 150 * PRICE < held(gateway, member) < 400 * PRICE


def test_without_a_cap_the_models_longest_answer_is_held_and_told(gateway: World) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    reply = chat(gateway.url, member)
    assert reply.headers["x-gateway-max-tokens"] == "4096"
    [record] = gateway.simulator.witness.records()
    assert json.loads(record["body"])["max_tokens"] == 4096
    assert 4_096 * PRICE < held(gateway, member) < 4_400 * PRICE


def test_what_is_left_of_a_budget_caps_an_answer_without_a_cap(gateway: World) -> None:
    member = gateway.member(limit=1_000 * PRICE)
    gateway.simulator.witness.clear()
    reply = chat(gateway.url, member, model="simulator/lorem")
    cap = int(reply.headers["x-gateway-max-tokens"])
    assert 600 < cap < 950
    [record] = gateway.simulator.witness.records()
    assert json.loads(record["body"])["max_tokens"] == cap
    assert gateway.usage(member).spent_nano_usd <= 1_000 * PRICE


def test_less_than_the_floor_is_refused(gateway: World) -> None:
    member = gateway.member(limit=380 * PRICE)  # the input, and fewer than 256 tokens
    reply = chat(gateway.url, member)
    assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
    assert 0 < int(reply.headers["x-gateway-affordable-tokens"]) < 256


def test_r3_a_used_up_budget_says_what_is_spent(gateway: World) -> None:
    member = gateway.member(limit=400 * PRICE)
    messages = sim("prompt=390 completion=10")
    assert chat(gateway.url, member, max_tokens=20, messages=messages).status == 200
    gateway.usage(member)
    reply = chat(gateway.url, member, max_tokens=20)
    assert reply.status == 429
    assert (reply.error["type"], reply.error["code"]) == ("insufficient_quota",) * 2
    assert reply.error["message"].startswith(
        "You exceeded your current quota, please check your plan and billing details. User budget "
        "$0.004 per month: $0.004 spent, $0 held; "
    )
    assert "try again" not in reply.error["message"].lower()
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers
    assert reply.headers["x-gateway-budget-scope"] == "user"
    assert reply.headers["x-gateway-budget-limit-usd"] == "0.004"
    assert reply.headers["x-gateway-budget-spent-usd"] == "0.004"
    assert reply.headers["x-gateway-budget-held-usd"] == "0"
    assert reply.headers["x-gateway-budget-reset"].endswith("-01T00:00:00Z")


def test_r28_a_used_up_budget_may_be_told_as_402(gateway: World) -> None:
    member = gateway.member(limit=0)
    with gateway.another_edge(exhausted_status="402") as url:
        reply = chat(url, member)
        limited = gateway.member(key={"rates": {"requests_per_minute": 0}})
        assert chat(url, limited).status == 429
    assert (reply.status, reply.error["code"]) == (402, "insufficient_quota")


def test_the_scope_that_refuses_is_the_only_one_told_of(gateway: World) -> None:
    member = gateway.member(budget=7 * USD, limit=10_000)
    reply = chat(gateway.url, member)
    assert reply.headers["x-gateway-budget-scope"] == "user"
    assert '"7"' not in json.dumps(reply.headers) and "$7 " not in reply.error["message"]
    member = gateway.member(budget=10_000, limit=7 * USD)
    reply = chat(gateway.url, member)
    assert reply.headers["x-gateway-budget-scope"] == "org"
    assert "Organisation budget" in reply.error["message"]


def test_a_held_budget_is_worth_waiting_for(gateway: World) -> None:
    member = gateway.member(limit=1_000 * PRICE)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(chat, gateway.url, member, messages=sim("delay=1200"), max_tokens=700)
        while not gateway.ask_quota(
            "GetUsage", owner={"org_id": member.org, "user_id": member.user}
        ).held_count:
            time.sleep(0.01)
        reply = chat(gateway.url, member, max_tokens=700)
        assert slow.result().status == 200
    assert reply.status == 429
    assert (reply.error["type"], reply.error["code"]) == ("rate_limit_error", "budget_held")
    assert 1 <= int(reply.headers["retry-after"]) <= 10
    assert "by 1 running request;" in reply.error["message"]
    assert f"try again in {reply.headers['retry-after']}s" in reply.error["message"]
    gateway.usage(member)  # the settlement does not delay the answer: it may still be on its way
    assert chat(gateway.url, member, max_tokens=700).status == 200


def test_r4_a_rate_limit_says_when_to_come_back(gateway: World) -> None:
    member = gateway.member(key={"rates": {"requests_per_minute": 2}})
    replies = [chat(gateway.url, member) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
    assert replies[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert replies[1].headers["x-ratelimit-reset-requests"].endswith("s")
    last = replies[2]
    assert (last.error["type"], last.error["code"]) == ("requests", "rate_limit_exceeded")
    assert 1 <= int(last.headers["retry-after"]) <= 59
    assert int(last.headers["retry-after-ms"]) <= int(last.headers["retry-after"]) * 1_000
    assert f"try again in {last.headers['retry-after']}s" in last.error["message"]


def test_a_model_without_a_price_is_refused_before_the_upstream(gateway: World) -> None:
    member = gateway.member()
    gateway.simulator.witness.clear()
    reply = chat(gateway.url, member, model="simulator/priceless")
    assert (reply.status, reply.error["code"]) == (400, "model_not_priced")
    assert 'match = "simulator/priceless"' in reply.error["message"]
    assert gateway.simulator.witness.records() == []


def test_a_model_priced_at_nothing_costs_nothing(gateway: World) -> None:
    member = gateway.member(budget=0, limit=0)
    assert chat(gateway.url, member, model="simulator/free").status == 200
    assert gateway.usage(member).spent_nano_usd == 0


def test_a15_a_revoked_key_is_refused_at_the_very_next_request(gateway: World) -> None:
    member = gateway.member()
    assert chat(gateway.url, member).status == 200
    gateway.ask_auth("RevokeApiKey", user_id=member.user, key_id=member.key_id)
    reply = chat(gateway.url, member)
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("scope", ["user", "org"])
def test_suspension_holds_for_the_very_next_request_and_ends_with_it(
    gateway: World, scope: str
) -> None:
    member = gateway.member()
    assert chat(gateway.url, member).status == 200

    def become(status: Any) -> None:
        if scope == "user":
            user = {"user_id": member.user, "status": status}
            gateway.ask_auth("UpdateUser", user=user, update_mask={"paths": ["status"]})
        else:
            org = {"org_id": member.org, "status": status}
            gateway.ask_auth(
                "UpdateOrganization", organization=org, update_mask={"paths": ["status"]}
            )

    become(admin_pb2.STATUS_SUSPENDED)
    reply = chat(gateway.url, member)
    assert (reply.status, reply.error["code"]) == (403, f"{scope}_suspended")
    become(admin_pb2.STATUS_ACTIVE)
    assert chat(gateway.url, member).status == 200


def test_a_lowered_limit_holds_for_the_very_next_request(gateway: World) -> None:
    member = gateway.member()
    assert chat(gateway.url, member).status == 200
    user = {"user_id": member.user, "monthly_limit_nano_usd": 0}
    gateway.ask_auth("UpdateUser", user=user, update_mask={"paths": ["monthly_limit_nano_usd"]})
    assert chat(gateway.url, member).status == 429


def test_exactly_as_many_are_admitted_as_the_budget_affords(gateway: World) -> None:
    """Each holds what it costs: 300 tokens; the budget has 10 times that and a little more."""
    messages = sim("delay=300 prompt=1 completion=1")
    body = {"model": "simulator/echo", "max_tokens": 50, "messages": messages}
    probe = gateway.member()
    assert chat(gateway.url, probe, body).status == 200
    each = held(gateway, probe)
    member = gateway.member(limit=10 * each + each // 2)

    async def ask() -> list[int]:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(limits=limits, timeout=20) as client:
            url = f"{gateway.url}/v1/chat/completions"
            asked = (client.post(url, json=body, headers=bearer(member)) for _ in range(60))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    statuses = asyncio.run(ask())
    assert (statuses.count(200), statuses.count(429)) == (10, 50)
    assert gateway.usage(member).spent_nano_usd == 10 * 2 * PRICE


# --- Streams without a cap ---------------------------------------------------------------------


def test_a_stream_without_a_cap_holds_a_window_and_not_the_longest_answer(gateway: World) -> None:
    member = gateway.member()
    reply = chat(gateway.url, member, model="simulator/lorem", stream=True)
    assert "x-gateway-max-tokens" not in reply.headers
    assert 4_096 * PRICE < held(gateway, member) < 4_500 * PRICE


def test_a_long_stream_grows_its_window_and_is_charged_whole(gateway: World) -> None:
    member = gateway.member()
    reply = chat(
        gateway.url, member, model="simulator/lorem", messages=sim("tokens=20000"), stream=True
    )
    assert reply.body.endswith(b"data: [DONE]\n\n")
    kinds = [entry.kind for entry in gateway.journal(member)]
    assert kinds.count("extend") >= 3
    [settled] = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert settled.usage.output_tokens == 20_000
    assert list(settled.flags) == []


def test_a_stream_that_outgrows_the_budget_ends_with_a_length_and_an_error(gateway: World) -> None:
    limit = 7_000 * PRICE
    member = gateway.member(limit=limit)
    with gateway.client(member) as client:
        stream = client.chat.completions.create(
            model="simulator/lorem",
            messages=sim("tokens=20000 chunks=20000"),  # type: ignore[arg-type]
            stream=True,
        )
        chunks: list[Any] = []
        with pytest.raises(openai.APIError) as raised:
            for chunk in stream:
                chunks.append(chunk)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].id == chunks[-2].id
    assert raised.value.code == "insufficient_quota"
    assert "budget" in raised.value.message
    [settled] = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert set(settled.flags) == {"estimated", "partial"}
    assert limit * 0.8 < gateway.usage(member).spent_nano_usd <= limit


def test_a_revoked_key_ends_its_running_stream(gateway: World) -> None:
    member = gateway.member()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            chat, gateway.url, member, messages=sim("drip=100 chunks=100", "x" * 400), stream=True
        )
        while not gateway.ask_quota(
            "GetUsage", owner={"org_id": member.org, "user_id": member.user}
        ).held_count:
            time.sleep(0.01)
        gateway.ask_auth("RevokeApiKey", user_id=member.user, key_id=member.key_id)
        reply = running.result(10)
    last = json.loads(reply.body.strip().split(b"\n\n")[-1].removeprefix(b"data: "))
    assert last["error"]["code"] == "invalid_api_key"
    assert set(gateway.settled(member).flags) == {"estimated", "partial"}


def test_a_revoked_key_does_not_lose_an_answer_in_one_piece(gateway: World) -> None:
    member = gateway.member()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(chat, gateway.url, member, messages=sim("delay=900"))
        while not gateway.ask_quota(
            "GetUsage", owner={"org_id": member.org, "user_id": member.user}
        ).held_count:
            time.sleep(0.01)
        gateway.ask_auth("RevokeApiKey", user_id=member.user, key_id=member.key_id)
        assert running.result(10).status == 200
    assert chat(gateway.url, member).status == 401


def test_a_running_stream_is_checkpointed_so_that_its_hold_lives(gateway: World) -> None:
    member = gateway.member()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            chat, gateway.url, member, messages=sim("drip=100 chunks=12", "x" * 400), stream=True
        )
        assert running.result(10).status == 200
    assert gateway.usage(member).held_nano_usd == 0


def test_usage_shows_the_callers_own_figures(gateway: World) -> None:
    member = gateway.member(limit=3 * USD)
    with gateway.client(member) as client:
        client.chat.completions.create(
            model="simulator/echo", messages=[{"role": "user", "content": "Hello"}]
        )
        spent = gateway.usage(member).spent_nano_usd
        page: Any = client.get("/usage", cast_to=object)
    assert page["user_id"] == member.user
    assert page["spent_usd"] == f"{spent / 1e9:.9f}".rstrip("0")
    assert page["limit_usd"] == "3"
    assert page["request_count"] == 1
    assert page["key"]["key_id"] == member.key_id
    assert page["key"]["limit_usd"] is None
    assert page["resets_at"].endswith("-01T00:00:00Z")
