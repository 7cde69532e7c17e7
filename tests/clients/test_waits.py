"""What the Python libraries make of our refusals: they wait as long as we say, or ask no more."""

import threading
import time
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.clients.relay import relayed
from tests.edge.wire import chat, sim
from tests.edge.world import Member, World

HELLO: Any = [{"role": "user", "content": "Hello there"}]
CHAT = b"POST /v1/chat/completions "


def test_r4_the_client_waits_for_a_free_place_and_gets_it(gateway: World) -> None:
    member = gateway.member(key={"rates": {"concurrent_requests": 1}})
    with (
        relayed(gateway.url) as relay,
        openai.OpenAI(
            base_url=f"{relay.url}/v1", api_key=member.key, max_retries=2, timeout=20
        ) as client,
    ):
        first = chat_in_background(gateway, member, "delay=1000")
        refused = chat(gateway.url, member)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.headers["x-gateway-rate-kind"] == "concurrency"
        began = time.monotonic()
        answer = client.chat.completions.create(model="simulator/echo", messages=HELLO)
        assert answer.choices[0].message.content == "Hello there"
        assert time.monotonic() - began > 0.5
        assert 2 <= relay.asked(CHAT) <= 3
        first.join(10)


def chat_in_background(gateway: World, member: Member, directive: str) -> threading.Thread:
    """A request that runs, once this returns."""
    thread = threading.Thread(
        target=chat, args=(gateway.url, member), kwargs={"messages": sim(directive)}
    )
    thread.start()
    owner = {"org_id": member.org, "user_id": member.user}
    while not gateway.ask_quota("GetUsage", owner=owner).held_count:
        time.sleep(0.01)
    return thread


def test_r25_the_headers_count_down_and_say_when_all_is_free_again(gateway: World) -> None:
    rates = {"requests_per_minute": 30, "tokens_per_minute": 100_000}
    member = gateway.member(user={"rates": rates})
    remaining: list[int] = []
    tokens: list[int] = []
    for _ in range(3):
        headers = chat(gateway.url, member, max_tokens=100).headers
        assert headers["x-ratelimit-limit-requests"] == "30"
        assert headers["x-ratelimit-limit-tokens"] == "100000"
        remaining.append(int(headers["x-ratelimit-remaining-requests"]))
        tokens.append(int(headers["x-ratelimit-remaining-tokens"]))
        assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert remaining[0] == 29
    assert remaining == sorted(remaining, reverse=True)
    assert 99_000 < tokens[0] < 100_000


@pytest.mark.parametrize("status", ["budget", "key"])
def test_r3_the_libraries_ask_once_where_asking_again_is_of_no_use(
    gateway: World, status: str
) -> None:
    broke = gateway.member(limit=0)
    key = broke.key if status == "budget" else "gw_live_wrong"
    with relayed(gateway.url) as relay:
        base = f"{relay.url}/v1"
        with openai.OpenAI(base_url=base, api_key=key) as client, pytest.raises(openai.APIError):
            client.chat.completions.create(model="simulator/echo", messages=HELLO)
        assert relay.asked(CHAT) == 1
        model: Any = ChatOpenAI(model="simulator/echo", base_url=base, api_key=lambda: key)
        with pytest.raises(openai.APIError):
            model.invoke("Hello there")
        assert relay.asked(CHAT) == 2
