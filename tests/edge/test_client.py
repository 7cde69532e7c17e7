"""The official client talks to the gateway as to the original."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.edge.wire import sim
from tests.edge.world import Member, World

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_an_answer_in_one_piece_is_charged_to_the_token(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        answer = client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage is not None
    settled = gateway.settled(member)
    assert settled.usage.input_tokens == answer.usage.prompt_tokens
    assert settled.usage.output_tokens == answer.usage.completion_tokens
    assert gateway.usage(member).spent_nano_usd == answer.usage.total_tokens * 10_000
    assert list(settled.flags) == []


def test_r6_a_stream_without_include_usage_has_no_usage_and_is_charged_to_the_token(
    gateway: World, member: Member
) -> None:
    with gateway.client(member) as client:
        chunks = list(
            client.chat.completions.create(model="simulator/echo", messages=HELLO, stream=True)
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello there"
    assert all("usage" not in c.model_fields_set for c in chunks)
    settled = gateway.settled(member)
    assert (settled.usage.output_tokens, list(settled.flags)) == (3, [])


def test_r6_a_stream_with_include_usage_ends_with_it(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        chunks = list(
            client.chat.completions.create(
                model="simulator/echo",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == gateway.settled(member).usage.output_tokens
    assert text(chunks) == "Hello there"


def test_the_async_client_streams(gateway: World, member: Member) -> None:
    async def ask() -> list[ChatCompletionChunk]:
        async with gateway.async_client(member) as client:
            stream = await client.chat.completions.create(
                model="simulator/echo", messages=HELLO, stream=True
            )
            return [chunk async for chunk in stream]

    assert text(asyncio.run(ask())) == "Hello there"
    assert gateway.settled(member).usage.output_tokens == 3


def test_the_async_client_asks_for_many_at_once(gateway: World, member: Member) -> None:
    async def ask() -> list[Any]:
        async with gateway.async_client(member) as client:
            asked = (
                client.chat.completions.create(model="simulator/echo", messages=HELLO)
                for _ in range(40)
            )
            return list(await asyncio.gather(*asked))

    answers = asyncio.run(ask())
    usage = gateway.usage(member)
    assert usage.request_count == 40
    assert usage.spent_nano_usd == sum(a.usage.total_tokens for a in answers) * 10_000


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called(gateway: World, member: Member, stream: bool) -> None:
    with gateway.client(member) as client:
        if stream:
            chunks = list(
                client.chat.completions.create(
                    model="simulator/echo", messages=HELLO, tools=TOOLS, stream=True
                )
            )
            calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or []]
            assert calls[0].function is not None
            assert calls[0].function.name == "weather"
            return
        answer = client.chat.completions.create(model="simulator/echo", messages=HELLO, tools=TOOLS)
        [call] = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "weather"


def test_the_stream_helper_gathers_a_whole_answer(gateway: World, member: Member) -> None:
    with (
        gateway.client(member) as client,
        client.chat.completions.stream(model="simulator/echo", messages=HELLO) as stream,
    ):
        assert stream.get_final_completion().choices[0].message.content == "Hello there"


def test_n_choices_are_all_delivered_and_charged(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        answer = client.chat.completions.create(model="simulator/echo", messages=HELLO, n=3)
    assert len(answer.choices) == 3
    assert gateway.settled(member).usage.output_tokens == 9


def test_a_wrong_key_is_an_authentication_error(gateway: World) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="gw_live_wrong", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert raised.value.code == "invalid_api_key"
    assert str(raised.value.request_id).startswith("req_")


def test_an_unknown_model_is_not_found(gateway: World, member: Member) -> None:
    with gateway.client(member) as client, pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="nobody/knows", messages=HELLO)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert "`nobody/knows`" in raised.value.message


def test_no_messages_is_a_bad_request(gateway: World, member: Member) -> None:
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="simulator/echo", messages=[])
    assert (raised.value.code, raised.value.param) == ("empty_array", "messages")


def test_a_used_up_budget_is_asked_once_and_not_retried(gateway: World) -> None:
    member = gateway.member(limit=0)
    with (
        gateway.client(member, max_retries=5) as client,
        pytest.raises(openai.RateLimitError) as raised,
    ):
        client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert (raised.value.code, raised.value.type) == ("insufficient_quota", "insufficient_quota")
    assert raised.value.request.headers["x-stainless-retry-count"] == "0"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in raised.value.response.headers


def test_r15_models_are_listed_and_found_with_slashes(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        listed = {model.id: model.owned_by for model in client.models.list()}
        assert listed["simulator/echo"] == "simulator"
        assert listed["fast"] == "simulator"
        assert "openai/gpt-4o" not in listed
        assert client.models.retrieve("simulator/echo").id == "simulator/echo"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("simulator2/echo")


def test_r15_models_show_what_the_key_may_use(gateway: World) -> None:
    member = gateway.member(key={"allowed_models": ["simulator/l*"]})
    with gateway.client(member) as client:
        assert [model.id for model in client.models.list()] == ["simulator/lorem"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("simulator/echo")
        with pytest.raises(openai.NotFoundError) as raised:
            client.chat.completions.create(model="simulator/echo", messages=HELLO)
    assert raised.value.code == "model_not_found"


def test_an_alias_and_a_bare_name_reach_their_model(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        for name in ("fast", "echo", "simulator/echo"):
            answer = client.chat.completions.create(model=name, messages=HELLO)
            assert answer.model == "echo"
    assert {entry.model for entry in gateway.journal(member)} == {"simulator/echo"}


def test_an_error_in_the_stream_is_raised(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        stream = client.chat.completions.create(
            model="simulator/echo",
            messages=sim("error_after=2 code=boom", "one two three four"),  # type: ignore[arg-type]
            stream=True,
        )
        with pytest.raises(openai.APIError) as raised:
            list(stream)
    assert raised.value.code == "boom"
    assert list(gateway.settled(member).flags) == ["estimated", "partial"]
