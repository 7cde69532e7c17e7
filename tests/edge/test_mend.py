"""Streams that client libraries stumble over: mended, and otherwise left as they came."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.mend import repair, tidy

CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"

AS_IT_CAME = {
    "chunks": CHUNK + CHUNK + DONE,
    "a comment": b": ping\n\n" + CHUNK,
    "a comment inside": b": ping\n" + CHUNK,
    "CRLF": CHUNK.replace(b"\n", b"\r\n"),
    "CR": CHUNK.replace(b"\n", b"\r"),
    "data in two lines": b'data: {"choices":\ndata: []}\n\n',
    "no space": CHUNK.replace(b"data: ", b"data:"),
}


@pytest.mark.parametrize("name", AS_IT_CAME)
def test_what_every_library_reads_stays_byte_for_byte(name: str) -> None:
    assert tidy(AS_IT_CAME[name]) == AS_IT_CAME[name]


TIDIED = {
    "event: message": (b"event: message\n" + CHUNK, CHUNK),
    "another event with a chunk": (b"event: chunk\r\n" + CHUNK, CHUNK),
    "id": (b"id: 7\n" + CHUNK, CHUNK),
    "id and a comment": (b"id: 7\n: ping\n\n" + CHUNK, b": ping\n\n" + CHUNK),
    "retry": (b"retry: 3000\n\n" + CHUNK, CHUNK),
    "retry behind": (CHUNK + b"retry: 3000\n\n", CHUNK),
    "retry between": (CHUNK + b"retry: 3000\n\n" + CHUNK, CHUNK + CHUNK),
    "ping without data": (b"event: ping\n\n" + CHUNK, CHUNK),
    "ping with data": (CHUNK + b"event: ping\ndata: {}\n\n", CHUNK),
    "empty data": (b"data:\n\n" + CHUNK, CHUNK),
    "empty data behind": (CHUNK + b"data: \n\n", CHUNK),
    "a name behind the data": (CHUNK[:-1] + b"event: x\n\n", CHUNK),
    "BOM": (b"\xef\xbb\xbf" + CHUNK, CHUNK),
    "an event called error": (
        b'event: error\ndata: {"error":{"message":"x"}}\n\n',
        b'data: {"error":{"message":"x"}}\n\n',
    ),
}


@pytest.mark.parametrize("name", TIDIED)
def test_r10_only_data_and_comments_reach_the_client(name: str) -> None:
    given, expected = TIDIED[name]
    assert tidy(given) == expected
    assert repair(given) == expected


@given(st.lists(st.sampled_from([*AS_IT_CAME.values(), *(g for g, _ in TIDIED.values())])))
def test_what_is_tidied_is_tidy(events: list[bytes]) -> None:
    once = tidy(b"".join(events))
    assert tidy(once) == once
    for line in once.splitlines():
        assert not line.strip() or line.startswith((b"data:", b":"))


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def mended(event: bytes) -> Any:
    [line] = [line for line in repair(event).split(b"\n\n") if line]
    return json.loads(line.removeprefix(b"data: "))


def test_r31_calls_of_tools_get_an_index() -> None:
    calls = [{"id": "a", "function": {"name": "f"}}, {"index": None, "id": "b"}]
    extra = {"google": {"thought_signature": "s"}}
    event = chunk(choices=[{"index": 0, "delta": {"tool_calls": calls, "extra_content": extra}}])
    delta = mended(event)["choices"][0]["delta"]
    assert [call["index"] for call in delta["tool_calls"]] == [0, 1]
    assert delta["extra_content"] == extra
    assert tidy(event) == event  # where the catalog does not say mend_stream


def test_r32_choices_without_a_delta_are_dropped() -> None:
    filtered = chunk(choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {}}])
    assert repair(filtered) == b""
    assert repair(chunk(choices=[], prompt_filter_results=[])) == b""
    assert repair(chunk(id="", choices=None)) == b""
    both = chunk(choices=[{"index": 0, "delta": {}}, {"index": 1}])
    assert mended(both)["choices"] == [{"index": 0, "delta": {}}]


def test_usage_and_errors_are_never_dropped() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    assert mended(chunk(usage=usage)) == {"usage": usage, "choices": []}
    assert mended(chunk(choices=[], usage=usage))["usage"] == usage
    error = chunk(error={"message": "x"})
    assert repair(error + DONE) == error + DONE
