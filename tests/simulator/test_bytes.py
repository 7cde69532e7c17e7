"""Bytes as they should not be, or need not be."""

import gzip
from collections.abc import Callable

import openai
import orjson
import pytest

from services.simulator.server import Simulator
from tests.simulator.wire import Heard, Wire, http_chunks, raw


def test_one_event_is_no_json_and_the_rest_goes_on(wire: Wire) -> None:
    heard = wire.chat("[[sim malformed_after=2 chunks=5]]")
    broken = []
    for at, data in enumerate(heard.data[:-1]):
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            broken.append(at)
    assert broken == [3]
    assert heard.data[-1] == "[DONE]"


def test_done_can_be_left_out(wire: Wire) -> None:
    assert wire.chat("hi").data[-1] == "[DONE]"
    heard = wire.chat("[[sim no_done]] hi")
    assert heard.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert "[DONE]" not in heard.data


@pytest.mark.parametrize(("name", "end"), [("crlf", b"\r\n"), ("cr", b"\r")])
def test_lines_may_end_otherwise(wire: Wire, name: str, end: bytes) -> None:
    plain, other = wire.chat("[[sim text=hi]]"), wire.chat(f"[[sim text=hi eol={name}]]")
    assert b"\r" not in plain.body
    assert other.body.count(end * 2) == plain.body.count(b"\n\n")
    assert other.deltas == ["hi"]


def test_writes_may_be_small_and_split_characters(simulator: Simulator) -> None:
    plain, _ = raw(simulator, '[[sim text="ü" chunks=1]]')
    split, _ = raw(simulator, '[[sim split=1 text="ü" chunks=1]]')
    assert any("ü".encode() in chunk for chunk in http_chunks(plain))
    assert {len(chunk) for chunk in http_chunks(split)} == {1}
    assert b'"content":"\xc3\xbc"' in b"".join(http_chunks(split))
    sevens, _ = raw(simulator, "[[sim split=7]]")
    assert max(len(chunk) for chunk in http_chunks(sevens)) == 7


def test_comments_stand_between_the_events(wire: Wire) -> None:
    heard = wire.chat("[[sim comments chunks=3]]")
    assert heard.body.startswith(b": OPENROUTER PROCESSING\n\n: keep-alive\n\ndata: ")
    assert heard.body.count(b": keep-alive\n\n") == len(heard.chunks)
    assert len(heard.deltas) == 3
    document = wire.chat("[[sim comments]]", stream=False)
    assert document.body.startswith(b"\n\n{")


def test_one_event_may_be_huge(wire: Wire) -> None:
    heard = wire.chat("[[sim huge=2000000 chunks=3]]")
    sizes = sorted(len(data) for data in heard.data)
    assert sizes[-1] > 2_000_000
    assert sizes[-2] < 1_000
    assert len(wire.chat("[[sim huge=2000000]]", stream=False).body) > 2_000_000


def test_a_stream_request_may_get_a_document(wire: Wire) -> None:
    heard = wire.chat("[[sim json]]")
    assert heard.headers["content-type"] == "application/json"
    assert heard.json["object"] == "chat.completion"


@pytest.mark.parametrize("stream", [True, False])
def test_the_body_may_be_gzipped(wire: Wire, stream: bool) -> None:
    heard = wire.chat("[[sim gzip text=hello]]", stream=stream)
    assert heard.headers["content-encoding"] == "gzip"
    assert "content-length" not in heard.headers
    assert b'"hello"' in gzip.decompress(heard.body)


def test_gzipped_events_still_come_one_by_one(client: openai.OpenAI) -> None:
    message = "[[sim gzip drip=30 chunks=5]]"
    stream = client.chat.completions.create(
        model="lorem", messages=[{"role": "user", "content": message}], stream=True
    )
    assert len([c for c in stream if c.choices[0].delta.content]) == 5


def test_headers_that_should_not_travel(wire: Wire) -> None:
    names = ["set-cookie", "server", "alt-svc", "cf-ray", "openai-organization", "via"]
    bare, leaky = wire.chat("hi"), wire.chat("[[sim headers]]")
    assert [name for name in names if name in bare.headers] == []
    assert [name for name in names if name in leaky.headers] == names


@pytest.mark.parametrize(
    ("directive", "holds"),
    [
        ('text="a; b] [c\\n"', lambda h: "".join(h.deltas) == "a; b] [c\n"),
        ("tokens=50", lambda h: len("".join(h.deltas).encode()) == 200),
        ("chunks=7", lambda h: len(h.deltas) == 7),
        ("tokens=50 chunks=5", lambda h: [len(d) for d in h.deltas] == [40] * 5),
    ],
)
def test_the_text_is_as_asked(wire: Wire, directive: str, holds: Callable[[Heard], bool]) -> None:
    assert holds(wire.chat(f"[[sim {directive}]]"))


def test_the_directive_is_not_echoed(wire: Wire) -> None:
    heard = wire.chat("[[sim chunks=2]] abcd", model="echo")
    assert heard.deltas == ["ab", "cd"]


def test_several_tool_calls_or_none(wire: Wire) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    two = wire.chat("[[sim calls=2]]", stream=False, tools=tools).json["choices"][0]["message"]
    assert len({call["id"] for call in two["tool_calls"]}) == 2
    none = wire.chat("[[sim calls=0]]", stream=False, tools=tools).json["choices"][0]["message"]
    assert none["content"] and "tool_calls" not in none
