"""The official client talks to the gateway as to the original."""

from typing import Any

import openai
import pytest

from tests.edge.world import World

HELLO: Any = [{"role": "user", "content": "Hello there"}]


def test_an_answer_in_one_piece_is_charged_to_the_token(gateway: World) -> None:
    member = gateway.member()
    with gateway.client(member) as client:
        answer = client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage is not None
    settled = gateway.settled(member)
    assert settled.usage.input_tokens == answer.usage.prompt_tokens
    assert settled.usage.output_tokens == answer.usage.completion_tokens
    assert gateway.usage(member).spent_nano_usd == answer.usage.total_tokens * 10_000
    assert list(settled.flags) == []


def test_a_stream_without_include_usage_has_no_usage_and_is_charged_to_the_token(
    gateway: World,
) -> None:
    member = gateway.member()
    with gateway.client(member) as client:
        chunks = list(
            client.chat.completions.create(model="simulator/echo", messages=HELLO, stream=True)
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello there"
    assert all(c.usage is None and "usage" not in c.model_fields_set for c in chunks)
    settled = gateway.settled(member)
    assert (settled.usage.output_tokens, list(settled.flags)) == (3, [])


def test_a_wrong_key_is_an_authentication_error(gateway: World) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="gw_live_wrong", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert raised.value.code == "invalid_api_key"
    assert raised.value.request_id is not None
