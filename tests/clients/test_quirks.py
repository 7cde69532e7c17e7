"""Providers with ways of their own, and what the official library makes of them through us."""

import json
from typing import Any

import openai
import pytest

from tests.clients.raw_upstream import HEAD, RawUpstream
from tests.edge.wire import sim
from tests.edge.world import Member, World

HELLO: Any = [{"role": "user", "content": "Hello there"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def said(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event(id="x", choices=[choice], **more)


END = event(id="x", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
DONE = b"data: [DONE]\n\n"


def test_r10_fields_and_events_that_libraries_crash_on_do_not_reach_them(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    odd = [b"retry: 9\n\n", b"event: ping\n\n", b"data:\n\n", b"id: 1\n: x\n\n"]
    pieces = [piece for each in odd for piece in (each, b"event: message\n" + said("a"))]
    upstream.answers["odd"] = [HEAD, b"\xef\xbb\xbf", *pieces, END, DONE]
    with gateway.client(member) as client:
        chunks = list(client.chat.completions.create(model="raw/odd", messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "aaaa"


def test_r31_r32_chunks_are_mended_where_the_catalog_says_so(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    calls = {"index": 0, "delta": {"tool_calls": [CALL]}, "finish_reason": None}
    upstream.answers["azure"] = [
        HEAD,
        event(id="", model="", choices=[], prompt_filter_results=[]),
        event(id="x", choices=[calls]),
        event(id="x", choices=[{"index": 0, "content_filter_offsets": {}}]),
        END,
        DONE,
    ]
    with gateway.client(member) as client:
        chunks = list(
            client.chat.completions.create(model="mending/azure", messages=HELLO, stream=True)
        )
    assert [len(chunk.choices) for chunk in chunks] == [1, 1]
    assert (chunks[0].choices[0].delta.tool_calls or [])[0].index == 0


@pytest.mark.parametrize("usage", [False, True])
def test_r29_a_whole_answer_is_told_as_the_stream_that_was_asked_for(
    gateway: World, member: Member, usage: bool
) -> None:
    with gateway.client(member) as client:
        options: Any = {"stream_options": {"include_usage": True}} if usage else {}
        with client.chat.completions.with_streaming_response.create(
            model="simulator/echo", messages=_json("Hello there"), stream=True, **options
        ) as raw:
            assert raw.headers["content-type"].startswith("text/event-stream")
            assert "content-length" not in raw.headers
        with client.chat.completions.stream(
            model="simulator/echo", messages=_json("Hello there"), **options
        ) as stream:
            answer = stream.get_final_completion()
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage is not None) == usage
    entries = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert [list(e.flags) for e in entries] == [[], []]


def _json(text: str) -> Any:
    return sim("json", text)


def test_r29_tools_in_a_whole_answer_are_streamed(gateway: World, member: Member) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    with (
        gateway.client(member) as client,
        client.chat.completions.stream(
            model="simulator/lorem", messages=_json("Weather?"), tools=[tool]
        ) as stream,
    ):
        message = stream.get_final_completion().choices[0].message
    assert [call.function.name for call in message.tool_calls or []] == ["weather"]


def test_r29_a_whole_response_is_streamed(gateway: World, member: Member) -> None:
    with (
        gateway.client(member) as client,
        client.responses.stream(model="simulator/echo", input=_json("Hello there")) as stream,
    ):
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert (text, final.output_text) == ("Hello there", "Hello there")
    assert list(gateway.settled(member).flags) == []


def test_r29_a_whole_completion_is_streamed(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        chunks = list(
            client.completions.create(
                model="simulator/echo", prompt="[[sim json]] Hello there", stream=True
            )
        )
    assert "".join(c.choices[0].text for c in chunks) == "Hello there"


def test_an_error_instead_of_a_stream_is_an_error(gateway: World, member: Member) -> None:
    messages: Any = sim("status=200 error=openai")
    with gateway.client(member) as client, pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="simulator/echo", messages=messages, stream=True)
