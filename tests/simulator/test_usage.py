"""Usage: exact, spoiled, or in places where others put it."""

from typing import Any

import pytest

from tests.simulator.wire import Wire

ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}
COUNTS = "prompt=100 completion=50 cached=30 reasoning=20 audio=3 audio_out=4"


def usages(chunks: list[dict[str, Any]]) -> list[Any]:
    return [chunk["usage"] for chunk in chunks if "usage" in chunk]


@pytest.mark.parametrize("stream", [True, False])
def test_counts_can_be_given(wire: Wire, stream: bool) -> None:
    heard = wire.chat(f"[[sim {COUNTS}]]", stream=stream, **(ASKED if stream else {}))
    usage = heard.chunks[-1]["usage"] if stream else heard.json["usage"]
    assert usage == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 3},
        "completion_tokens_details": {
            "reasoning_tokens": 20,
            "audio_tokens": 4,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@pytest.mark.parametrize("stream", [True, False])
def test_responses_take_the_same_counts(wire: Wire, stream: bool) -> None:
    body = {"model": "lorem", "stream": stream, "input": f"[[sim {COUNTS}]] x"}
    heard = wire.post("/v1/responses", body)
    response = heard.chunks[-1]["response"] if stream else heard.json
    assert response["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 0},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 150,
    }


def test_embeddings_take_a_prompt_count(wire: Wire) -> None:
    heard = wire.post("/v1/embeddings", {"model": "lorem", "input": "[[sim prompt=7]] x"})
    assert heard.json["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_reasoning_adds_to_the_text_when_no_completion_is_given(wire: Wire) -> None:
    usage = wire.chat("[[sim tokens=10 reasoning=5]]", stream=False).json["usage"]
    assert usage["completion_tokens"] == 15


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("zero", 0),
        ("negative", -11),
        ("huge", 9_223_372_036_854_775_808),
        ("bool", True),
        ("text", "10"),
        ("float", 10.5),
    ],
)
def test_counts_can_be_absurd(wire: Wire, how: str, expected: Any) -> None:
    directive = f"[[sim usage={how} tokens=10]]"
    for usage in (
        wire.chat(directive, stream=False).json["usage"],
        wire.chat(directive, **ASKED).chunks[-1]["usage"],
    ):
        assert usage["completion_tokens"] == expected
        assert type(usage["completion_tokens"]) is type(expected)


def test_usage_can_be_missing_or_null(wire: Wire) -> None:
    assert "usage" not in wire.chat("[[sim usage=none]]", stream=False).json
    assert usages(wire.chat("[[sim usage=none]]", **ASKED).chunks) == []
    assert wire.chat("[[sim usage=null]]", stream=False).json["usage"] is None
    last = wire.chat("[[sim usage=null]]", **ASKED).chunks[-1]
    assert (last["choices"], last["usage"]) == ([], None)
    body = {"model": "lorem", "input": "[[sim usage=none]] x"}
    assert "usage" not in wire.post("/v1/responses", body).json


def test_usage_can_grow_on_every_chunk(wire: Wire) -> None:
    chunks = wire.chat("[[sim usage_on=every tokens=20 chunks=5]]").chunks
    counts = [usage["completion_tokens"] for usage in usages(chunks)]
    assert len(counts) == len(chunks)
    assert counts == [0, 4, 8, 12, 16, 20, 20]
    assert all(chunk["choices"] for chunk in chunks)


def test_usage_can_come_on_the_finish_chunk(wire: Wire) -> None:
    for asked in ({}, ASKED):
        chunks = wire.chat("[[sim usage_on=finish tokens=20]]", **asked).chunks
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"]["completion_tokens"] == 20
        assert [u for u in usages(chunks[:-1]) if u] == []


def test_usage_can_come_as_groq_sends_it(wire: Wire) -> None:
    chunks = wire.chat("[[sim usage_on=groq tokens=20]]").chunks
    assert usages(chunks) == []
    assert chunks[-1]["x_groq"]["usage"]["completion_tokens"] == 20
    assert [chunk for chunk in chunks[:-1] if "x_groq" in chunk] == []


def test_usage_can_come_unasked(wire: Wire) -> None:
    chunks = wire.chat("[[sim usage_on=unasked tokens=20]]").chunks
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 20
