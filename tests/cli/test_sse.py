"""A streamed answer is read piece by piece, and never taken for whole when it is not."""

import json

import pytest

from cli.failure import Failure
from cli.sse import deltas


def event(text: str) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


def test_pieces_come_in_order_and_comments_are_ignored() -> None:
    lines = [": ping", "", event("Hel"), "", "event: x", event("lo"), "", "data: [DONE]", ""]
    assert list(deltas(lines)) == ["Hel", "lo"]


def test_a_piece_is_given_before_the_next_one_is_there() -> None:
    def lines() -> object:
        yield event("first")
        yield ""
        raise AssertionError("read too far")

    assert next(deltas(lines())) == "first"  # type: ignore[arg-type]


def test_data_may_span_lines() -> None:
    first, second = event("a b").split('"delta"')
    assert list(deltas([first, f'data: "delta"{second}', "", "data: [DONE]", ""])) == ["a b"]


def test_usage_chunks_without_choices_say_nothing() -> None:
    assert list(deltas(['data: {"choices": [], "usage": {}}', "", "data: [DONE]", ""])) == []


def test_an_error_event_is_a_failure_with_its_message() -> None:
    lines = [event("a"), "", 'data: {"error": {"message": "budget used up"}}', ""]
    coming = deltas(lines)
    assert next(coming) == "a"
    with pytest.raises(Failure, match="budget used up"):
        next(coming)


@pytest.mark.parametrize("lines", [[], [event("a"), ""], ["data: {", ""], ["data: 1", ""]])
def test_a_stream_without_its_end_is_a_failure(lines: list[str]) -> None:
    with pytest.raises(Failure):
        list(deltas(lines))
