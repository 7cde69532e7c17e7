"""The official client takes the simulator for OpenAI: chat."""

import json
from typing import Any

import openai
import pytest

from services.simulator.server import Simulator
from services.simulator.words import tokens

HELLO: list[Any] = [{"role": "user", "content": "Hello, world"}]
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Utrecht?"}]
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 200},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}},
]


def test_echo_repeats_the_last_user_message(client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "Grüße, 世界"}]},
    ]
    answer = client.chat.completions.create(model="simulator/echo", messages=messages)
    assert answer.choices[0].message.content == "Grüße, 世界"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.system_fingerprint
    assert answer._request_id and answer._request_id.startswith("req_")


@pytest.mark.parametrize("model", ["lorem", "simulator/lorem", "openai/gpt-5-mini"])
def test_every_other_model_writes_filler_that_depends_on_the_request_alone(
    client: openai.OpenAI, model: str
) -> None:
    first, again = (
        client.chat.completions.create(model=model, messages=HELLO).choices[0].message.content
        for _ in range(2)
    )
    other = client.chat.completions.create(model=model, messages=ASK).choices[0].message.content
    assert first and first == again != other


def test_usage_is_one_token_per_four_bytes(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="lorem", messages=HELLO)
    usage, text = answer.usage, answer.choices[0].message.content
    assert usage and text and usage.prompt_tokens_details and usage.completion_tokens_details
    assert usage.prompt_tokens == 3
    assert usage.completion_tokens == -(-len(text.encode()) // 4)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert usage.completion_tokens_details.reasoning_tokens == 0


def test_an_image_costs_85_tokens(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What?"}, image]
    messages: list[Any] = [{"role": "user", "content": content}]
    usage = client.chat.completions.create(model="lorem", messages=messages).usage
    assert usage and usage.prompt_tokens == 2 + 85


def test_a_stream_brings_the_same_text_as_a_document(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="lorem", messages=HELLO)
    chunks = list(client.chat.completions.create(model="lorem", messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 10
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_usage_that_was_asked_for_is_a_last_chunk_without_choices(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="lorem", messages=HELLO)
    stream = client.chat.completions.create(
        model="lorem", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all("usage" in c.model_fields_set and c.usage is None for c in chunks[:-1])


async def test_the_asynchronous_client_streams_too(simulator: Simulator) -> None:
    url = f"{simulator.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="sk", max_retries=0) as client:
        stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "Hello, world"


def test_a_limit_is_met_exactly_and_said(client: openai.OpenAI) -> None:
    limited = client.chat.completions.create(model="lorem", messages=HELLO, max_tokens=7)
    newer = client.chat.completions.create(
        model="lorem", messages=HELLO, max_completion_tokens=7, max_tokens=90
    )
    for answer in (limited, newer):
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage and answer.usage.completion_tokens == 7
        assert tokens(answer.choices[0].message.content or "") == 7


def test_n_answers_differ_and_are_all_charged(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="lorem", messages=HELLO, n=3)
    texts = [choice.message.content or "" for choice in answer.choices]
    assert len(set(texts)) == 3
    assert answer.usage and answer.usage.completion_tokens == sum(map(tokens, texts))
    streamed = {0: "", 1: "", 2: ""}
    for chunk in client.chat.completions.create(model="lorem", messages=HELLO, n=3, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert list(streamed.values()) == texts


def test_a_stop_sequence_ends_the_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, stop=["wor"])
    assert answer.choices[0].message.content == "Hello, "


def test_the_first_tool_is_called_with_arguments_that_fit(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="lorem", messages=ASK, tools=TOOLS)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or []
    assert call.type == "function" and call.function.name == "weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["unit"] == "celsius"
    assert arguments["days"] >= 200
    assert isinstance(arguments["city"], str)


def test_tool_arguments_stream_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="lorem", messages=ASK, tools=TOOLS)
    with client.chat.completions.stream(model="lorem", messages=ASK, tools=TOOLS) as stream:
        pieces = [e for e in stream if e.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()
    assert len(pieces) > 3
    (call,) = final.choices[0].message.tool_calls or []
    (expected,) = whole.choices[0].message.tool_calls or []
    assert expected.type == "function"
    assert call.function.arguments == expected.function.arguments
    assert final.choices[0].finish_reason == "tool_calls"


def test_a_tools_answer_is_answered_with_text(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="lorem", messages=ASK, tools=TOOLS)
    call = (first.choices[0].message.tool_calls or [])[0]
    messages = [
        *ASK,
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    second = client.chat.completions.create(model="lorem", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content
    assert first.usage and second.usage
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_tool_choice_is_obeyed(client: openai.OpenAI) -> None:
    clock: Any = {"type": "function", "function": {"name": "clock"}}
    forced = client.chat.completions.create(
        model="lorem", messages=ASK, tools=TOOLS, tool_choice=clock
    ).choices[0]
    (call,) = forced.message.tool_calls or []
    assert call.type == "function" and call.function.name == "clock"
    assert forced.finish_reason == "stop"
    none = client.chat.completions.create(
        model="lorem", messages=ASK, tools=TOOLS, tool_choice="none"
    ).choices[0]
    assert none.message.content and not none.message.tool_calls


def test_json_was_asked_for_and_json_comes(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="echo", messages=HELLO, response_format={"type": "json_object"}
    )
    assert json.loads(answer.choices[0].message.content or "") == {"text": "Hello, world"}
    fitting = client.chat.completions.create(
        model="lorem",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}},
    )
    members = json.loads(fitting.choices[0].message.content or "")
    assert list(members) == ["city", "days", "unit"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "lorem", "messages": []}, "messages"),
        ({"model": "lorem", "messages": "hi"}, "messages"),
        ({"model": "lorem", "messages": HELLO, "n": 0}, "n"),
        ({"model": "lorem", "messages": HELLO, "max_tokens": -1}, "max_tokens"),
        ({"model": "lorem", "messages": HELLO, "max_tokens": "9"}, "max_tokens"),
        ({"model": "lorem", "messages": HELLO, "stream": "yes"}, "stream"),
        ({"model": 5, "messages": HELLO}, "model"),
        ({"model": "lorem", "messages": HELLO, "stream_options": {}}, "stream_options"),
    ],
)
def test_bad_input_is_a_bad_request_that_names_the_parameter(
    client: openai.OpenAI, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.post("/chat/completions", body=body, cast_to=object)
    assert raised.value.param == param
    assert raised.value.type == "invalid_request_error"
