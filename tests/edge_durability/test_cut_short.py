"""What the official client makes of a stream that the budget or a revoked key ends."""

import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from gateway.auth.v1 import admin_pb2
from tests.edge.world import USD, Member, World

PRICE = 10_000
LIMIT = 7_000 * PRICE
LONG: dict[str, Any] = {
    "model": "simulator/lorem",
    "messages": [{"role": "user", "content": "[[sim tokens=20000 chunks=20000]] go"}],
    "stream": True,
}
SLOW: dict[str, Any] = {
    "model": "simulator/lorem",
    "messages": [{"role": "user", "content": "[[sim tokens=400 chunks=100 drip=100]] go"}],
    "stream": True,
}


def check(chunks: list[Any], error: openai.APIError, reason: str | None, code: str) -> None:
    assert chunks[-1].choices[0].finish_reason == reason
    assert error.code == code
    assert len(chunks) > 2


async def test_the_async_client_sees_a_length_and_then_the_reason(gateway: World) -> None:
    member = gateway.member(limit=LIMIT)
    chunks: list[Any] = []
    async with gateway.async_client(member) as client:
        with pytest.raises(openai.APIError) as raised:
            async for chunk in await client.chat.completions.create(**LONG):
                chunks.append(chunk)
    check(chunks, raised.value, "length", "insufficient_quota")
    assert gateway.usage(member).spent_nano_usd <= LIMIT


def test_the_sync_client_sees_a_length_and_then_the_reason(gateway: World) -> None:
    member = gateway.member(limit=LIMIT)
    chunks: list[Any] = []
    with gateway.client(member) as client, pytest.raises(openai.APIError) as raised:
        for chunk in client.chat.completions.create(**LONG):
            chunks.append(chunk)
    check(chunks, raised.value, "length", "insufficient_quota")


def test_who_streams_raw_chunks_by_the_helper_gets_what_was_paid_for(gateway: World) -> None:
    member = gateway.member(limit=LIMIT)
    asked = {name: value for name, value in LONG.items() if name != "stream"}
    with (
        gateway.client(member) as client,
        pytest.raises(openai.APIError) as raised,
        client.chat.completions.stream(**asked) as stream,
    ):
        stream.until_done()
    assert raised.value.code == "insufficient_quota"


def revoke(gateway: World, member: Member) -> None:
    gateway.ask_auth("RevokeApiKey", user_id=member.user, key_id=member.key_id)


def suspend(gateway: World, member: Member) -> None:
    user = admin_pb2.User(user_id=member.user, status=admin_pb2.STATUS_SUSPENDED)
    gateway.ask_auth("UpdateUser", user=user, update_mask={"paths": ["status"]})


@pytest.mark.parametrize(
    ("bar", "code"), [(revoke, "invalid_api_key"), (suspend, "user_suspended")]
)
async def test_a_running_stream_of_who_is_barred_ends_at_the_next_checkpoint(
    gateway: World, bar: Callable[[World, Member], None], code: str
) -> None:
    member = gateway.member(budget=USD)
    chunks: list[Any] = []
    async with gateway.async_client(member) as client:
        stream = await client.chat.completions.create(**SLOW)
        with pytest.raises(openai.APIError) as raised:
            async for chunk in stream:
                chunks.append(chunk)
                if len(chunks) == 3:
                    bar(gateway, member)
                    barred = time.monotonic()
    assert time.monotonic() - barred < 5
    check(chunks, raised.value, None, code)
    assert 2 * 4 <= gateway.settled(member).usage.output_tokens < 400
