"""Streams: the upstream's bytes as they come, an end that says what it is, a charge that fits."""

import contextlib
import json
import re
import socket
import struct
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.wire import bearer, chat, raw_connection, raw_request, sim
from tests.edge.world import Member, World
from tests.waiting import wait_until

WORDS = "one two three four five six seven eight"


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def body(directive: str, text: str = WORDS, **fields: Any) -> dict[str, Any]:
    return {
        "model": "echo",
        "messages": sim(directive, text),
        "stream": True,
        **fields,
    }


def directly(gateway: World, asked: dict[str, Any]) -> bytes:
    """The same request sent to the simulator itself."""
    url = f"{gateway.simulator.url}/v1/chat/completions"
    return httpx.post(url, json=asked, timeout=20).content


def stable(raw: bytes) -> bytes:
    """An answer without what is different each time, and without comments."""
    raw = re.sub(rb"(?m)^:.*\n\n", b"", raw)
    raw = re.sub(rb'"(id|obfuscation)":"[^"]*"', rb'"\1":""', raw)
    return re.sub(rb'"created":[0-9]+', b'"created":0', raw)


def events(raw: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@pytest.mark.parametrize(
    "directive",
    ["", "split=7", "eol=crlf", "eol=cr split=3", "comments", "huge=1500000", "chunks=1"],
)
def test_who_asked_for_usage_gets_the_providers_bytes(
    gateway: World, member: Member, directive: str
) -> None:
    asked = body(directive or "tokens=9", stream_options={"include_usage": True})
    reply = chat(gateway.url, member, asked)
    assert stable(reply.body) == stable(directly(gateway, asked))
    assert list(gateway.settled(member).flags) == []


@pytest.mark.parametrize("directive", ["", "split=7", "eol=crlf", "eol=cr split=3", "comments"])
def test_who_did_not_ask_gets_the_bytes_without_usage(
    gateway: World, member: Member, directive: str
) -> None:
    asked = body(directive or "tokens=9")
    reply = chat(gateway.url, member, asked)
    assert b'"usage"' not in reply.body
    assert stable(reply.body) == stable(directly(gateway, asked))
    assert list(gateway.settled(member).flags) == []


def test_r5_the_headers_of_a_stream(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, body("tokens=3"))
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-length" not in reply.headers
    assert "content-encoding" not in reply.headers


def test_events_are_passed_on_while_the_answer_grows(gateway: World, member: Member) -> None:
    asked = body("first=0 drip=150 chunks=4")
    began = time.monotonic()
    arrived = []
    with httpx.stream(
        "POST", f"{gateway.url}/v1/chat/completions", json=asked, headers=bearer(member)
    ) as answer:
        for line in answer.iter_lines():
            if '"content":"' in line and '"content":""' not in line:
                arrived.append(time.monotonic() - began)
    assert len(arrived) == 4
    assert arrived[0] < arrived[-1] - 0.3


def test_r9_the_end_comes_with_the_last_byte(gateway: World, member: Member) -> None:
    """The provider sends [DONE] and keeps its body open; the client's answer is over at once."""
    began = time.monotonic()
    reply = chat(gateway.url, member, body("", model="holding/any"))
    assert time.monotonic() - began < 0.7  # the provider would hold for ever, we read on for 1 s
    assert reply.body.endswith(b"data: [DONE]\n\n")
    entry = gateway.settled(member)
    assert (entry.usage.output_tokens, list(entry.flags)) == (1, [])


def test_a_missing_done_is_a_whole_answer(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, body("no_done"))
    assert b"[DONE]" not in reply.body
    assert "error" not in events(reply.body)[-1]
    assert list(gateway.settled(member).flags) == []


@pytest.mark.parametrize("fault", ["cut_after", "close_after", "eof_after"])
@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize("split", ["", " split=11"])
def test_r7_a_broken_stream_ends_in_an_error_event(
    gateway: World, member: Member, fault: str, after: int, split: str
) -> None:
    reply = chat(gateway.url, member, body(f"{fault}={after}{split}"))
    if reply.status == 502:
        assert after == 0
        assert reply.error["code"] == "upstream_error"
        return
    *before, last = events(reply.body)
    assert last["error"]["code"] == "upstream_error"
    assert reply.body.endswith(b"\n\n")
    delivered = [e for e in before if e["choices"][0]["delta"].get("content")]
    entry = gateway.settled(member)
    assert entry.usage.output_tokens >= len(delivered)
    assert set(entry.flags) == {"estimated", "partial"}


def test_a_stream_that_stalls_ends_in_an_error_event(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, body("hang_after=3"))
    assert events(reply.body)[-1]["error"]["code"] == "upstream_timeout"
    assert set(gateway.settled(member).flags) == {"estimated", "partial"}


@pytest.mark.parametrize("style", ["openai", "string", "vllm"])
def test_the_providers_error_event_is_passed_and_nothing_added(
    gateway: World, member: Member, style: str
) -> None:
    asked = body(f"error_after=2 error={style}")
    reply = chat(gateway.url, member, asked)
    assert stable(reply.body) == stable(directly(gateway, asked))
    assert set(gateway.settled(member).flags) == {"estimated", "partial"}


def test_an_error_before_any_delta_costs_nothing(gateway: World, member: Member) -> None:
    chat(gateway.url, member, body("error_after=0"))
    assert gateway.settled(member).kind == "release"


def test_an_event_that_is_no_json_is_passed_as_it_is(gateway: World, member: Member) -> None:
    asked = body("malformed_after=2")
    reply = chat(gateway.url, member, asked)
    assert stable(reply.body) == stable(directly(gateway, asked))


def test_r29_a_json_answer_to_a_stream_is_streamed_and_charged(
    gateway: World, member: Member
) -> None:
    reply = chat(gateway.url, member, body("json"))
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in reply.headers
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in reply.body  # nobody asked for it
    assert gateway.settled(member).usage.output_tokens > 0


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_hang_up_is_charged_for_what_was_delivered(
    gateway: World, member: Member, after: int
) -> None:
    gateway.simulator.witness.clear()
    asked = json.dumps(body("drip=40 chunks=60", WORDS * 20) | {"model": "simulator/echo"})
    seen = b""
    with raw_connection(gateway.url) as connection:
        connection.sendall(raw_request(member, asked.encode()))
        while seen.count(b'"content":"') < after + 1:
            seen += connection.recv(65_536)
    entry = gateway.settled(member)
    [record] = gateway.simulator.witness.records()
    assert record["hung_up"]
    assert record["chunks"] < 60
    assert set(entry.flags) == {"estimated", "partial"}
    # One delta may have been on its way when the client left.
    per_delta = len(WORDS * 20) / 60 / 4
    delivered = seen.count(b'"content":"') - 1
    assert delivered <= entry.usage.output_tokens <= (delivered + 3) * per_delta + 3


def test_who_leaves_at_the_last_event_has_had_the_whole_answer(
    gateway: World, member: Member
) -> None:
    asked = json.dumps({"model": "holding/any", "input": "Hello", "stream": True}).encode()
    request = raw_request(member, asked).replace(b"/v1/chat/completions", b"/v1/responses")
    with raw_connection(gateway.url) as connection:
        connection.sendall(request)
        seen = b""
        while b"response.completed" not in seen:  # the provider has not ended the body
            seen += connection.recv(65_536)
    entry = gateway.settled(member)
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (4, 1)
    assert list(entry.flags) == []


def test_a_hang_up_before_the_first_byte_closes_the_upstream(
    gateway: World, member: Member
) -> None:
    gateway.simulator.witness.clear()
    asked = json.dumps(body("delay=1500") | {"model": "simulator/echo"}).encode()
    with raw_connection(gateway.url) as connection:
        connection.sendall(raw_request(member, asked))
        while not gateway.simulator.witness.records():
            time.sleep(0.01)
    entry = gateway.settled(member)
    assert (entry.usage.output_tokens, set(entry.flags)) == (0, {"estimated", "partial"})
    assert entry.usage.input_tokens > 0


def test_who_leaves_before_the_provider_is_asked_pays_nothing(
    gateway: World, member: Member
) -> None:
    assert chat(gateway.url, member).status == 200  # the key is known from here on
    before = gateway.usage(member).spent_nano_usd
    gateway.simulator.witness.clear()
    with raw_connection(gateway.url) as connection:
        connection.sendall(raw_request(member, json.dumps(body("")).encode()))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: [e for e in gateway.journal(member) if e.kind == "release"])
    assert gateway.usage(member).spent_nano_usd == before
    assert gateway.simulator.witness.records() == []


def send_in_small_pieces(port: int) -> None:
    """This process's sockets at ``port``, and those that are accepted there: the kernel gathers
    little for them, where it would take as many megabytes as it likes."""
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # no socket, or closed by now
            one = socket.socket(fileno=int(path.name))
            try:
                if one.family == socket.AF_INET and one.getsockname()[1] == port:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            finally:
                one.detach()


def test_a_slow_reader_holds_the_upstream_back(gateway: World, member: Member) -> None:
    """Nothing is gathered in between: the provider is read as fast as the client reads."""
    gateway.simulator.witness.clear()
    send_in_small_pieces(int(gateway.simulator.url.rpartition(":")[2]))
    asked = body("") | {"model": "simulator/lorem"}
    asked["messages"] = sim("tokens=60000 chunks=60000")  # 15 MB of events
    with raw_connection(gateway.url) as connection:
        connection.sendall(raw_request(member, json.dumps(asked).encode()))
        connection.recv(1_000)
        wait_until(lambda: gateway.simulator.witness.records()[0]["outcome"] != "running")
    [record] = gateway.simulator.witness.records()
    assert record["outcome"] == "hung_up"  # by us, when nothing moved for idle_timeout_s
    assert record["bytes"] < 12_000_000


def test_a_reader_that_has_stopped_does_not_keep_its_hold(gateway: World, member: Member) -> None:
    asked = body("") | {"model": "simulator/lorem"}
    asked["messages"] = sim("tokens=90000 chunks=90000")
    with raw_connection(gateway.url) as connection:
        connection.sendall(raw_request(member, json.dumps(asked).encode()))
        connection.recv(1_000)
        entries = gateway.journal(member)  # waits until nothing is held
    [entry] = [e for e in entries if e.kind == "settle"]
    assert set(entry.flags) == {"estimated", "partial"}


@pytest.mark.parametrize("stream", [False, True])
def test_r14_what_we_do_not_know_reaches_the_provider_unchanged(
    gateway: World, member: Member, stream: bool
) -> None:
    gateway.simulator.witness.clear()
    raw = (
        b'{ "seed":123456789012345678901234567890,"unknown":{"b":1e0,"a":[1.10,"\\u00e9\xc3\xa9"]}'
        b',\n"model" : "simulator/echo","messages":[{"role":"user","content":"Hi",'
        b'"model":"inner"}],"max_tokens":5' + (b',"stream":true' if stream else b"") + b"}"
    )
    assert chat(gateway.url, member, raw).status == 200
    [record] = gateway.simulator.witness.records()
    expected = raw.decode().replace('"simulator/echo"', '"echo"', 1)
    expected = expected.replace('"model" : "echo"', '"model" :"echo"')
    if stream:
        head, rest = expected[:1], expected[1:]
        expected = head + '"stream_options":{"include_usage":true},' + rest
    assert record["body"] == expected


def test_a_large_body_arrives_whole(gateway: World, member: Member) -> None:
    gateway.simulator.witness.clear()
    url = "data:image/png;base64," + "A" * 1_900_000
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    reply = chat(gateway.url, member, messages=[{"role": "user", "content": content}], max_tokens=5)
    assert reply.status == 200
    [record] = gateway.simulator.witness.records()
    assert url in record["body"]
    [reserved] = [e for e in gateway.journal(member) if e.kind == "reserve"]
    assert reserved.held_nano_usd < 10_000 * 10_000  # an image, not 1.9 million letters
