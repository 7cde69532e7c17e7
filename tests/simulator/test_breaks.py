"""Answers that break, stall or drip, at the place that was asked for."""

import time
from itertools import pairwise

import openai
import orjson
import pytest

from services.simulator.server import Simulator
from tests.simulator.wire import Heard, Wire, raw


@pytest.mark.parametrize("after", [0, 1, 3])
def test_cut_resets_the_connection_after_so_many_deltas(simulator: Simulator, after: int) -> None:
    received, end = raw(simulator, f"[[sim cut_after={after} chunks=9]]")
    assert end == "reset"
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b'"content":') == after + (after > 0)
    assert b"\r\n0\r\n" not in received


@pytest.mark.parametrize("after", [0, 1, 3])
def test_close_ends_the_connection_inside_the_body(simulator: Simulator, after: int) -> None:
    received, end = raw(simulator, f"[[sim close_after={after} chunks=9]]")
    assert end == "fin"
    assert received.count(b'"content":') == after + (after > 0)
    assert b"\r\n0\r\n" not in received


def test_reset_comes_before_any_header(simulator: Simulator) -> None:
    assert raw(simulator, "[[sim reset]]") == (b"", "reset")


def test_eof_is_a_clean_end_without_finish_and_done(wire: Wire) -> None:
    heard = wire.chat("[[sim eof_after=2 chunks=9]]")
    assert heard.broken is None
    assert len(heard.deltas) == 2
    assert "[DONE]" not in heard.data
    assert all(c["choices"][0]["finish_reason"] is None for c in heard.chunks)


def test_after_the_last_delta_is_before_the_finish(wire: Wire) -> None:
    heard = wire.chat("[[sim eof_after=4 chunks=4]]")
    assert len(heard.deltas) == 4
    assert all(c["choices"][0]["finish_reason"] is None for c in heard.chunks)
    beyond = wire.chat("[[sim eof_after=5 chunks=4]]")
    assert beyond.data[-1] == "[DONE]"


@pytest.mark.parametrize("how", ["cut_after", "close_after"])
def test_a_document_breaks_too(wire: Wire, how: str) -> None:
    heard = wire.chat(f"[[sim {how}=2]]", stream=False)
    assert heard.broken
    assert len(heard.body) == 128


def test_a_document_may_end_too_early_or_be_malformed(wire: Wire) -> None:
    for fault in ("eof_after=1", "malformed_after=1"):
        heard = wire.chat(f"[[sim {fault}]]", stream=False)
        assert heard.broken is None
        with pytest.raises(orjson.JSONDecodeError):
            heard.json  # noqa: B018


def test_a_responses_stream_breaks_at_its_deltas(wire: Wire) -> None:
    body = {"model": "lorem", "stream": True, "input": "[[sim eof_after=2]] x"}
    heard = wire.post("/v1/responses", body)
    kinds = [chunk["type"] for chunk in heard.chunks]
    assert kinds[-2:] == ["response.output_text.delta"] * 2


def test_an_error_in_the_stream_is_an_object_and_the_end(client: openai.OpenAI) -> None:
    message = '[[sim error_after=2 chunks=9 message="too busy" code=overloaded]]'
    stream = client.chat.completions.create(
        model="lorem", messages=[{"role": "user", "content": message}], stream=True
    )
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert (raised.value.message, raised.value.code) == ("too busy", "overloaded")


def test_an_error_in_the_stream_may_have_any_style(wire: Wire) -> None:
    heard = wire.chat("[[sim error_after=1 error=string message=no]]")
    assert heard.status == 200
    assert heard.chunks[-1] == {"error": "no"}
    assert "[DONE]" not in heard.data
    vllm = wire.chat("[[sim error_after=1 error=vllm]]")
    assert vllm.chunks[-1]["error"]["code"] == 500
    assert vllm.data[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("style", "kind"), [("", "response.failed"), ("error=openai", "error"), ("error=string", None)]
)
def test_an_error_in_a_responses_stream(wire: Wire, style: str, kind: str | None) -> None:
    body = {"model": "lorem", "stream": True, "input": f"[[sim error_after=1 {style}]] x"}
    heard = wire.post("/v1/responses", body)
    assert heard.chunks[-1].get("type") == kind
    if kind:
        numbers = [chunk["sequence_number"] for chunk in heard.chunks]
        assert numbers == list(range(len(numbers)))


def test_hang_never_answers_and_sees_the_caller_leave(wire: Wire) -> None:
    heard = wire.hang_up("[[sim hang]]", after=1)
    assert heard.status == 0
    (record,) = wire.records()
    assert (record["outcome"], record["status"]) == ("hung_up", None)


def test_hang_after_goes_silent_in_the_stream(wire: Wire) -> None:
    heard = wire.hang_up("[[sim hang_after=3 chunks=9]]", after=4)
    assert len(heard.deltas) == 3
    (record,) = wire.records()
    assert (record["outcome"], record["chunks"]) == ("hung_up", 3)


def gaps(heard: Heard) -> list[float]:
    return [later - earlier for earlier, later in pairwise(heard.times)]


def test_drip_waits_before_each_later_delta(wire: Wire) -> None:
    heard = wire.chat("[[sim drip=40 chunks=4]]")
    assert sum(gap > 0.03 for gap in gaps(heard)) >= 3
    document = wire.chat("[[sim drip=20]]", stream=False)
    assert len(document.parts) > 5
    assert document.json["object"] == "chat.completion"


def test_first_waits_before_the_first_delta(wire: Wire) -> None:
    waits = gaps(wire.chat("[[sim first=200 chunks=4]]"))
    assert waits[0] > 0.15 > min(waits[1:])


def test_delay_waits_before_the_headers(wire: Wire) -> None:
    began = time.monotonic()
    heard = wire.chat("[[sim delay=200 chunks=2]]")
    assert heard.times[0] - began > 0.19
    assert int(heard.headers["openai-processing-ms"]) >= 199


def test_a_caller_who_leaves_during_a_delay_is_noticed_at_once(wire: Wire) -> None:
    wire.hang_up("[[sim delay=60000]]", after=1)
    (record,) = wire.records()
    assert record["outcome"] == "hung_up"
    assert record["seconds"] < 5
