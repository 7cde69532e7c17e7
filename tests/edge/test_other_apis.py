"""Responses, embeddings and completions: the official client, charged to the token."""

import asyncio
from typing import Any

import openai
import pytest

from tests.edge.wire import sim
from tests.edge.world import USD, Member, World

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def said(directive: str, text: str) -> Any:
    """Input with a directive to the simulator."""
    return sim(directive, text)


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def test_r13_a_response_in_one_piece_is_charged_exactly(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        answer = client.responses.create(model="simulator/echo", input="Hello there")
    assert answer.output_text == "Hello there"
    assert answer.usage is not None
    settled = gateway.settled(member)
    assert (settled.operation, list(settled.flags)) == ("responses", [])
    assert settled.usage.input_tokens == answer.usage.input_tokens
    assert settled.usage.output_tokens == answer.usage.output_tokens


def test_r13_a_response_stream_is_charged_to_the_token(gateway: World, member: Member) -> None:
    with (
        gateway.client(member) as client,
        client.responses.stream(model="simulator/echo", input="Hello there") as stream,
    ):
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == "Hello there"
    assert final.usage is not None
    settled = gateway.settled(member)
    assert settled.usage.output_tokens == final.usage.output_tokens
    assert list(settled.flags) == []


def test_a_response_calls_tools(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        answer = client.responses.create(
            model="simulator/lorem", input="Weather in Rome?", tools=[TOOL]
        )
    assert answer.output[0].type == "function_call"


def test_nothing_is_stored_where_others_could_read_it(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        answer = client.responses.create(model="simulator/echo", input="Secret", store=True)
    assert answer.to_dict()["store"] is False


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"tools": [{"type": "code_interpreter", "container": "c"}]}, "tools.0"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools.0"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_cannot_be_shared_or_bounded_is_refused_before_the_upstream_is_called(
    gateway: World, member: Member, fields: dict[str, Any], param: str
) -> None:
    before = len(gateway.simulator.witness.records())
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as refused:
        client.post(
            "/responses", cast_to=object, body={"model": "simulator/echo", "input": "x", **fields}
        )
    assert refused.value.param == param
    assert len(gateway.simulator.witness.records()) == before
    assert gateway.journal(member) == []


@pytest.mark.parametrize("fault", ["eof_after=2", "cut_after=2", "hang_after=2"])
def test_a_broken_response_stream_ends_in_response_failed(
    gateway: World, member: Member, fault: str
) -> None:
    with gateway.client(member) as client:
        stream = client.responses.create(
            model="simulator/lorem", input=said(fault, "go"), stream=True
        )
        events: list[Any] = list(stream)
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.id == events[0].response.id
    assert last.sequence_number > events[-2].sequence_number
    settled = gateway.settled(member)
    assert "partial" in settled.flags
    assert settled.usage.output_tokens >= 2


def test_a_budget_that_ends_in_a_response_stream_says_so(gateway: World) -> None:
    member = gateway.member(budget=50_000_000)
    with gateway.client(member) as client:
        stream = client.responses.create(
            model="simulator/lorem", input=said("tokens=20000 drip=1", "go"), stream=True
        )
        events: list[Any] = list(stream)
    assert events[-1].type == "response.failed"
    assert str(events[-1].response.error.code) == "insufficient_quota"
    assert gateway.usage(member).spent_nano_usd <= 50_000_000


def test_r23_embeddings_come_in_the_encoding_asked_for(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        plain = client.embeddings.create(
            model="simulator/echo", input=["a", "b"], encoding_format="float"
        )
        packed = client.embeddings.create(model="simulator/echo", input=["a", "b"])
    assert len(plain.data) == 2
    assert len(plain.data[0].embedding) > 0
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_r23_embeddings_take_text_and_tokens_and_are_charged(
    gateway: World, member: Member, given: Any
) -> None:
    with gateway.client(member) as client:
        made = client.embeddings.create(model="simulator/echo", input=given)
    assert made.data
    settled = gateway.settled(member)
    assert settled.operation == "embeddings"
    assert settled.usage.input_tokens == made.usage.prompt_tokens
    assert settled.usage.output_tokens == 0


@pytest.mark.parametrize("given", [None, "", [], [True], ["a", 1], {"a": 1}])
def test_embeddings_of_nothing_are_refused_by_name(
    gateway: World, member: Member, given: Any
) -> None:
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as refused:
        client.post("/embeddings", cast_to=object, body={"model": "simulator/echo", "input": given})
    assert refused.value.param == "input"


def test_completions_answer_and_stream(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        whole = client.completions.create(model="simulator/echo", prompt="Hello there")
        assert whole.choices[0].text.strip()
        chunks = list(
            client.completions.create(model="simulator/echo", prompt="Hello there", stream=True)
        )
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    entries = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert [e.operation for e in entries] == ["completions"] * 2
    assert entries[0].usage.output_tokens == entries[1].usage.output_tokens > 0


def test_a_completion_without_a_cap_is_held_for_the_default_one(
    gateway: World, member: Member
) -> None:
    with gateway.client(member) as client:
        client.completions.create(model="simulator/lorem", prompt="x")
    reserve = next(e for e in gateway.journal(member) if e.kind == "reserve")
    assert reserve.held_nano_usd < 2_000_000  # 16 tokens and the prompt, not the model's longest
    settled = gateway.settled(member)
    assert settled.usage.output_tokens == 16


def test_the_async_client_mixes_apis(gateway: World, member: Member) -> None:
    async def ask() -> None:
        async with gateway.async_client(member) as client:
            await asyncio.gather(
                client.responses.create(model="simulator/echo", input="a"),
                client.embeddings.create(model="simulator/echo", input="a"),
                client.completions.create(model="simulator/echo", prompt="a"),
            )

    asyncio.run(ask())
    operations = {e.operation for e in gateway.journal(member) if e.kind == "settle"}
    assert operations == {"responses", "embeddings", "completions"}


def test_an_exhausted_budget_refuses_every_api_the_same_way(gateway: World) -> None:
    member = gateway.member(budget=0, limit=USD)
    with gateway.client(member) as client:
        for ask in (
            lambda: client.responses.create(model="simulator/echo", input="a"),
            lambda: client.embeddings.create(model="simulator/echo", input="a"),
            lambda: client.completions.create(model="simulator/echo", prompt="a"),
        ):
            with pytest.raises(openai.RateLimitError) as refused:
                ask()
            assert refused.value.code == "insufficient_quota"
