"""The official client takes the simulator for OpenAI: responses."""

import json
from typing import Any

import openai

from services.simulator.words import tokens

TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "weather",
        "strict": False,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def test_a_response_has_text_and_usage(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="simulator/echo", input="Hello", instructions="Be kind")
    assert answer.output_text == "Hello"
    assert answer.status == "completed"
    assert answer.id.startswith("resp_")
    assert answer.instructions == "Be kind"
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2)
    assert answer.usage.total_tokens == 5
    assert answer.usage.input_tokens_details.cached_tokens == 0
    assert answer.usage.output_tokens_details.reasoning_tokens == 0


def test_events_come_in_order_and_end_with_the_whole_response(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="lorem", input="Hello")
    events: list[Any] = list(client.responses.create(model="lorem", input="Hello", stream=True))
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage == whole.usage
    assert events[0].response.usage is None


def test_the_stream_helper_gathers_the_same_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="echo", input="Hello there") as stream:
        final = stream.get_final_response()
    assert final.output_text == "Hello there"


def test_a_limit_leaves_the_response_incomplete(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="lorem", input="Hello", max_output_tokens=5)
    assert answer.status == "incomplete"
    assert answer.incomplete_details and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage and answer.usage.output_tokens == 5 == tokens(answer.output_text)
    events = list(
        client.responses.create(model="lorem", input="Hello", max_output_tokens=5, stream=True)
    )
    assert events[-1].type == "response.incomplete"


def test_a_function_is_called_and_its_output_answered(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="lorem", input="Weather?", tools=TOOLS)
    (call,) = answer.output
    assert call.type == "function_call" and call.name == "weather"
    assert json.loads(call.arguments).keys() == {"city"}
    events: list[Any] = list(
        client.responses.create(model="lorem", input="Weather?", tools=TOOLS, stream=True)
    )
    kind = "response.function_call_arguments.delta"
    assert "".join(e.delta for e in events if e.type == kind) == call.arguments
    items: list[Any] = [
        {"role": "user", "content": "Weather?"},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."},
    ]
    second = client.responses.create(model="lorem", input=items, tools=TOOLS)
    assert second.output_text


def test_json_was_asked_for_and_json_comes(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="echo", input="Hello", text={"format": {"type": "json_object"}}
    )
    assert json.loads(answer.output_text) == {"text": "Hello"}


def test_a_missing_input_is_named(client: openai.OpenAI) -> None:
    try:
        client.responses.create(model="lorem")
    except openai.BadRequestError as error:
        assert error.param == "input"
    else:
        raise AssertionError("a request without input was answered")
