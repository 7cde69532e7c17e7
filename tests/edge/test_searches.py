"""Web searches: billed one by one, whether the answer comes whole or as a stream."""

import json
from typing import Any

import pytest

from services.edge.charge import final_charge
from services.edge.chat import CHAT
from services.edge.errors import ApiError
from services.edge.openai import Ask
from services.edge.responses import RESPONSES
from services.edge.sse import Sieve
from tests.edge.test_bounds import target

SEARCH = {"type": "web_search_call", "status": "completed"}
OUTPUT = [
    {**SEARCH, "id": "ws_1", "action": {"type": "search", "query": "a"}},
    {**SEARCH, "id": "ws_2", "action": {"type": "open_page", "url": "https://example.com"}},
    {**SEARCH, "id": "ws_3"},
    {"type": "message", "id": "msg_1", "content": []},
]
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def asked(**fields: Any) -> Ask:
    body = {"model": "m", "input": "x", "tools": [{"type": "web_search"}], **fields}
    return RESPONSES.read(json.dumps(body).encode())


def stream(*, output: list[Any], usage: Any = USAGE, events: bool = True) -> bytes:
    items: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "item": item} for item in OUTPUT if events
    ]
    response = {"output": output, "usage": usage}
    items.append({"type": "response.completed", "response": response})
    return b"".join(b"event: x\ndata: " + json.dumps(item).encode() + b"\n\n" for item in items)


@pytest.mark.parametrize(
    "answer",
    [
        stream(output=OUTPUT),
        stream(output=[]),
        stream(output=OUTPUT, events=False),
        stream(output=OUTPUT, usage=None),
    ],
)
def test_searches_of_a_stream_are_charged_once_each(answer: bytes) -> None:
    meter = RESPONSES.meter(asked())
    sieve = Sieve(meter, withhold=False)
    meter.passed(sieve.feed(answer))
    meter.count()
    charge = final_charge(meter, 7, complete=True)
    assert charge.tokens.extra_units == 2


def test_searches_of_a_whole_answer_are_charged_once_each() -> None:
    meter = RESPONSES.meter(asked())
    meter.receive({"output": OUTPUT, "usage": USAGE})
    charge = final_charge(meter, 7, complete=True)
    assert (charge.tokens.extra_units, charge.tokens.output) == (2, 5)


def test_searches_that_nobody_asked_for_are_not_charged() -> None:
    meter = RESPONSES.meter(asked(tools=[]))
    meter.receive({"output": OUTPUT, "usage": USAGE})
    assert final_charge(meter, 7, complete=True).tokens.extra_units == 0


def test_the_bound_has_a_unit_for_each_search_that_may_happen() -> None:
    assert RESPONSES.bound(asked(), target("p/m", 100), 50).most.extra_units == 8
    assert RESPONSES.bound(asked(max_tool_calls=3), target("p/m", 100), 50).most.extra_units == 3
    assert RESPONSES.bound(asked(tools=[]), target("p/m", 100), 50).most.extra_units == 0


def test_a_chat_that_searches_is_charged_a_search() -> None:
    body = {"model": "m", "messages": [{"role": "user"}], "web_search_options": {}}
    ask = CHAT.read(json.dumps(body).encode())
    meter = CHAT.meter(ask)
    meter.receive({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert final_charge(meter, 1, complete=True).tokens.extra_units == 1
    assert CHAT.bound(ask, target("p/m", 100), 50).most.extra_units == 1


SHELL = {"type": "shell"}
FREE = [
    {"type": "function", "name": "f"},
    {"type": "local_shell"},
    SHELL,
    {**SHELL, "environment": {"type": "local"}},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
    {"type": "computer_use_preview"},
]
PAID = [
    {**SHELL, "environment": {"type": "container_auto"}},
    {"type": "namespace", "name": "n", "tools": [{"type": "code_interpreter"}]},
    {"type": "image_generation"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    "function",
]


@pytest.mark.parametrize("tool", FREE)
def test_tools_of_the_clients_own_cost_only_their_tokens(tool: Any) -> None:
    assert asked(tools=[tool]).body["tools"] == [tool]


@pytest.mark.parametrize("tool", PAID)
def test_tools_without_a_bound_are_refused(tool: Any) -> None:
    with pytest.raises(ApiError) as refused:
        asked(tools=[tool])
    assert refused.value.code == "unsupported_tool"


def test_a_screenshot_is_an_image_and_stored_files_are_refused() -> None:
    shot = {"type": "computer_screenshot", "image_url": "https://example.com/a.png"}
    item = {"type": "computer_call_output", "call_id": "c", "output": shot}
    assert RESPONSES.bound(asked(input=[item]), target("p/m", 9), 9).most.input > 6_000
    for part in ({**shot, "file_id": "file-1"}, {"type": "input_image", "file_id": "file-1"}):
        with pytest.raises(ApiError) as refused:
            RESPONSES.bound(asked(input=[{**item, "output": part}]), target("p/m", 9), 9)
        assert refused.value.code == "cannot_price_input"


def test_encrypted_reasoning_is_bounded_by_its_bytes() -> None:
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "g" * 5_000}
    assert RESPONSES.bound(asked(input=[sealed]), target("p/m", 9), 9).most.input >= 5_000
