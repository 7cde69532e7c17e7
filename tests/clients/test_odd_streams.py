"""Streams that no provider should send: every byte of them, cut anywhere. No stall, no 5xx once the
answer has begun, an end that says what it is, and nothing left held."""

import json
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.edge.charge import final_charge
from services.edge.chat import CHAT
from services.edge.errors import ApiError
from services.edge.openai import Ask
from services.edge.responses import RESPONSES, ResponsesMeter
from services.edge.sse import Sieve
from services.edge.usage import Meter
from tests.clients.raw_upstream import HEAD, RawUpstream
from tests.edge.wire import bearer
from tests.edge.world import World

PIECES = [
    b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi \xc3\xa9"}}]}',
    b'data:{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}',
    b'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":true}}',
    b'data: {"choices":null,"usage":[1]}',
    b'data: {"choices":[{"delta":null,"text":7}]}',
    b'data: {"choices":{"a":1},"x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":1}}}',
    b'data: {"error":"told"}',
    b'data: {"error":{"message":"told","code":5}}',
    b'event: response.completed\ndata: {"type":"response.completed","response":{"output":[1]}}',
    b'data: {"type":"response.output_text.delta","delta":5,"sequence_number":"a"}',
    b'data: {"type":"response.created","response":{"id":7}}',
    b'data: {"type":["x"],"response":[]}',
    b'data: {"a":1,\ndata: "b":2}',
    b"data: [DONE]",
    b"data: [DONE",
    b"data: [1]",
    b"data: null",
    b"data:",
    b"data",
    b": a comment",
    b"event: ping",
    b"id: 5",
    b"retry: 5",
    b"\xff\xfe",
    b"\xef\xbb\xbfdata: {}",
    b'data: {"choices":[{"delta":{"content":"\xc3',
    b"",
]
ENDS = [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b"\r", b"\r\n", b"", b"\n\r\n", b"\n\n\n"]
EVENTS = st.lists(
    st.tuples(st.sampled_from(PIECES) | st.binary(max_size=12), st.sampled_from(ENDS)), max_size=8
).map(lambda pairs: b"".join(piece + end for piece, end in pairs))


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[a:b] for a, b in pairwise(marks)]


def through(raw: bytes, places: list[int], meter: Meter, *, withhold: bool) -> bytes:
    sieve = Sieve(meter, withhold=withhold)
    passed = b""
    for piece in cut(raw, places):
        ready = sieve.feed(piece)
        meter.passed(ready)
        passed += ready
        if sieve.done:
            return passed
    last = sieve.rest()
    meter.passed(last)
    return passed + last


@settings(max_examples=250, deadline=None, derandomize=True)
@given(raw=EVENTS, places=st.lists(st.integers(0, 400), max_size=6), kind=st.booleans())
def test_whoever_asked_for_usage_gets_a_beginning_of_the_bytes_that_came(
    raw: bytes, places: list[int], kind: bool
) -> None:
    meter = Meter() if kind else ResponsesMeter(searching=True)
    passed = through(raw, places, meter, withhold=False)
    assert raw.startswith(passed.rstrip(b"\r\n")) or not passed.strip()
    charge = final_charge(meter, 7, complete=True)
    assert 0 <= charge.tokens.output <= max(len(raw), 2)
    ask = Ask(raw=b"{}", body={}, model="m")
    for api in (CHAT, RESPONSES):
        assert api.broken(meter, _error()).endswith(b"\n\n")
        assert api.cut_short(meter, ask, _error()).endswith(b"\n\n")


@settings(max_examples=250, deadline=None, derandomize=True)
@given(raw=EVENTS, places=st.lists(st.integers(0, 400), max_size=6))
def test_how_the_bytes_are_cut_makes_no_difference(raw: bytes, places: list[int]) -> None:
    whole, pieces = Meter(), Meter()
    told = through(raw, [], whole, withhold=True)
    same = through(raw, places, pieces, withhold=True)
    told, same = (re.sub(rb"[\r\n]+", b"\n", each).strip() for each in (told, same))
    if b"[DONE]" not in raw:  # what follows it in the same piece is passed, in a later one not
        assert told == same
    assert whole.seen == pieces.seen or b"[DONE]" in raw


def _error() -> ApiError:
    return ApiError(502, "server_error", "upstream_error", "It ended.")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_no_stream_stalls_and_each_is_settled(
    gateway: World, upstream: RawUpstream, path: str
) -> None:
    member = gateway.member()
    dice = random.Random(path)
    for number in range(60):
        raw = b"".join(dice.choice(PIECES) + dice.choice(ENDS) for _ in range(dice.randrange(9)))
        places = [dice.randrange(400) for _ in range(dice.randrange(5))]
        upstream.answers[f"{path[4:6]}{number}"] = [HEAD, *cut(raw, places)]

    def ask(number: int) -> None:
        body = {"model": f"raw/{path[4:6]}{number}", "stream": True, "max_tokens": 50}
        messages = [{"role": "user", "content": "Hi"}]
        body |= {"messages": messages} if "chat" in path else {"input": "Hi"}
        began = time.monotonic()
        answer = client.post(f"{gateway.url}{path}", json=body, headers=bearer(member))
        assert time.monotonic() - began < 10
        assert answer.status_code == 200, answer.text
        sent = b"".join(upstream.answers[f"{path[4:6]}{number}"][1:])
        if not any(end in sent for end in (b"[DONE]", b"finish_reason", b"completed", b"error")):
            assert _says_why(answer.content), (sent, answer.content)

    with httpx.Client(timeout=20) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(60)))
    assert len([e for e in gateway.journal(member) if e.kind in ("settle", "release")]) == 60


def _says_why(answer: bytes) -> bool:
    last = json.loads(answer.rpartition(b"data: ")[2])
    return bool(last.get("error") or last.get("response", {}).get("error"))
