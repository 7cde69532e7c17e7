"""What this project is for, on real processes: two edges, two quotas, one KV."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.system.fleet import Fleet, fleet

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

# The input is free and the answer is exactly as long as its cap, so a hold is as large as its cost.
CATALOG = """
default_provider = "simulator"

[providers.simulator]
kind = "openai"
base_url_env = "GATEWAY_SIMULATOR_URL"
private = true

[[models]]
match = "simulator/exact"
max_output_tokens = 1000
input_usd_per_mtok = "0"
output_usd_per_mtok = "7.000001"
"""
TOKENS = 50
COST = Decimal("0.00035000005").quantize(Decimal("1e-9"), rounding="ROUND_UP")
AFFORDABLE = 40


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    catalog = tmp_path_factory.mktemp("catalog") / "models.toml"
    catalog.write_text(CATALOG)
    with fleet(edges=2, quotas=2, auths=2, settings={"GATEWAY_CATALOG": str(catalog)}) as made:
        yield made


def body(words: str = "", **fields: Any) -> dict[str, Any]:
    text = f"[[sim tokens={TOKENS} {words}]] go"
    return {
        "model": "simulator/exact",
        "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


async def storm(urls: list[str], key: str, count: int) -> list[httpx.Response]:
    """``count`` requests at once, spread over the edges. Those that a busy machine made the edge
    answer 503 (it could not ask the ledger in time, so it admitted nothing) are sent again."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def send(number: int) -> httpx.Response:
            return await client.post(
                f"{urls[number % len(urls)]}/v1/chat/completions",
                json=body(),
                headers={"authorization": f"Bearer {key}"},
            )

        answers = await asyncio.gather(*map(send, range(count)))
        for number, answer in enumerate(answers):
            while answers[number].status_code == 503:
                assert answer.json()["error"]["code"] in ("quota_unavailable", "auth_unavailable")
                answers[number] = await send(number)
        return answers


def settled(running: Fleet, user: str, *, seconds: float = 10.0) -> dict[str, Any]:
    """The user's usage once nothing is held any more."""
    deadline = time.monotonic() + seconds
    while True:
        usage: dict[str, Any] = running.look(f"/users/{user}/usage", edge=1)
        if Decimal(usage["held_usd"]) == 0 or time.monotonic() > deadline:
            return usage
        time.sleep(0.05)


@pytest.mark.parametrize("binding", ["org", "user", "key"])
def test_of_500_concurrent_requests_exactly_the_40_affordable_ones_are_admitted(
    running: Fleet, binding: str
) -> None:
    tight = {binding: str(COST * AFFORDABLE)}
    org = running.organization(tight.get("org", "1000"))
    user = running.user(org, "race@example.com", tight.get("user", "1000"))
    limit = {"monthly_limit_usd": tight["key"]} if "key" in tight else {}
    key = running.key(user, **limit)

    answers = asyncio.run(storm(running.urls, key["api_key"], 500))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: AFFORDABLE, 429: 500 - AFFORDABLE}, answers[0].text
    codes = {a.json()["error"]["code"] for a in answers if a.status_code == 429}
    assert codes <= {"insufficient_quota", "budget_held"}
    assert all(
        answer.json()["usage"]["completion_tokens"] == TOKENS
        for answer in answers
        if answer.status_code == 200
    )
    total = COST * AFFORDABLE
    assert Decimal(settled(running, user)["spent_usd"]) == total
    assert Decimal(running.look(f"/organizations/{org}/usage")["spent_usd"]) == total
    own = httpx.get(
        f"{running.urls[1]}/v1/usage", headers={"authorization": f"Bearer {key['api_key']}"}
    ).json()
    assert Decimal(own["key"]["spent_usd"]) == total
    assert running.look(f"/organizations/{org}/verify")["ok"] is True


def test_a_revoked_key_fails_on_the_very_next_request_on_every_edge(running: Fleet) -> None:
    org = running.organization()
    user = running.user(org, "leaver@example.com")
    key = running.key(user)
    clients = [
        openai.OpenAI(base_url=f"{url}/v1", api_key=key["api_key"], max_retries=0)
        for url in running.urls
    ]
    for client in clients:
        client.chat.completions.create(**body())
    running.admin("DELETE", f"/users/{user}/api-keys/{key['key_id']}")
    for client in clients:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(**body())
        assert refused.value.code == "invalid_api_key"
        client.close()


def test_a_lowered_limit_holds_for_the_very_next_request_on_every_edge(running: Fleet) -> None:
    org = running.organization()
    user = running.user(org, "spender@example.com")
    key = running.key(user)
    for url in running.urls:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key["api_key"], max_retries=0) as client:
            client.chat.completions.create(**body())
    running.admin("PATCH", f"/users/{user}", {"monthly_limit_usd": "0"})
    for url in running.urls:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key["api_key"]) as client:
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(**body())
            assert refused.value.code == "insufficient_quota"
            assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_stream_arrives_whole_and_is_charged_once(running: Fleet) -> None:
    org = running.organization()
    user = running.user(org, "reader@example.com")
    key = running.key(user)
    with openai.OpenAI(base_url=f"{running.urls[0]}/v1", api_key=key["api_key"]) as client:
        stream = client.chat.completions.create(**body("chunks=10"), stream=True)
        chunks = list(stream)
    assert all(chunk.choices for chunk in chunks), "the unasked usage chunk was not withheld"
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    usage = settled(running, user)
    assert Decimal(usage["spent_usd"]) == COST
    assert (usage["request_count"], usage["output_tokens"]) == (1, TOKENS)


def test_no_log_holds_a_secret(running: Fleet) -> None:
    org = running.organization()
    key = running.key(running.user(org, "quiet@example.com"))
    with openai.OpenAI(base_url=f"{running.urls[0]}/v1", api_key=key["api_key"]) as client:
        client.chat.completions.create(**body())
    logs = "".join(Path(one.log).read_text() for one in running.everyone())
    assert "edge" in logs
    assert key["api_key"] not in logs
    assert running.edges[0].environment["ADMIN_API_KEY"] not in logs
    assert running.edges[0].environment["GATEWAY_SERVICE_TOKEN"] not in logs
    assert running.edges[0].environment["GATEWAY_MASTER_KEY"] not in logs
