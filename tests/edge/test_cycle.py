"""Heads and bodies leave together, in order, and nothing breaks out of its line."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from services.edge.cycle import Cycle

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
START: dict[str, Any] = {"type": "http.response.start", "status": 200}


def body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


class Wire(asyncio.Transport):
    """Takes down each write, and the end."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.seen.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def cycle(
    method: str = "POST", *, keep_alive: bool = True, always: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[Wire, Cycle]:
    wire = Wire()
    scope: Any = {"type": "http", "method": method}
    made = Cycle(
        scope,
        wire,
        FlowControl(wire),
        asyncio.get_running_loop(),
        always=always,
        expects=False,
        keep_alive=keep_alive,
        done=lambda: None,
        logger=logging.getLogger("cycle"),
    )
    return wire, made


async def test_a_head_and_its_body_are_one_write() -> None:
    wire, made = cycle()
    await made.send(START)
    await made.send(body(b"body"))
    await made.send(body(b"more"))
    await asyncio.sleep(0)
    assert wire.seen == [CHUNKED + b"4\r\nbody\r\n", b"4\r\nmore\r\n"]


async def test_a_head_alone_leaves_with_the_next_turn() -> None:
    wire, made = cycle()
    await made.send(START)
    assert wire.seen == []
    await asyncio.sleep(0)
    assert wire.seen == [CHUNKED]


async def test_what_is_held_leaves_before_the_end() -> None:
    wire, made = cycle(keep_alive=False)
    head = [(b"content-length", b"0")]
    await made.send({**START, "headers": head})
    await made.send(body(b"", more=False))
    assert wire.seen == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
    assert wire.closed


async def test_a_connection_that_broke_is_not_written_to() -> None:
    wire, made = cycle()
    await made.send(START)
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.seen == []


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb"])
async def test_a_header_cannot_break_out_of_its_line(value: bytes) -> None:
    wire, made = cycle()
    with pytest.raises(RuntimeError, match="line"):
        await made.send({**START, "headers": [(b"x-told", value)]})
    await asyncio.sleep(0)
    assert wire.seen == []


@pytest.mark.parametrize("data", [b"abc", b"a"])
async def test_an_answer_is_as_long_as_it_says(data: bytes) -> None:
    _, made = cycle()
    await made.send({**START, "headers": [(b"content-length", b"2")]})
    with pytest.raises(RuntimeError, match="content-length"):
        await made.send(body(data, more=False))


async def test_an_answer_to_head_has_no_body() -> None:
    wire, made = cycle("HEAD")
    await made.send({**START, "headers": [(b"content-length", b"2")]})
    await made.send(body(b"ab", more=False))
    assert wire.seen == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"]
    assert made.response_complete


@pytest.mark.parametrize("first", [body(b"early"), {**START, "type": "http.response.trailers"}])
async def test_what_comes_out_of_order_is_a_mistake(first: dict[str, Any]) -> None:
    _, made = cycle()
    with pytest.raises(RuntimeError, match="order"):
        await made.send(first)


async def test_what_is_told_with_every_answer_is_told_as_it_is_when_the_answer_begins() -> None:
    always: list[tuple[bytes, bytes]] = []
    wire, made = cycle(always=always)
    always.append((b"connection", b"close"))
    await made.send(START)
    await made.send(body(b"", more=False))
    assert b"\r\nconnection: close\r\n" in wire.seen[0]
    assert wire.closed


async def test_a_whole_answer_is_one_write_and_the_head_of_a_stream_waits_for_its_body() -> None:
    wire, made = cycle(always=[(b"date", b"now")])
    assert made.fresh
    made.answer(200, [(b"Content-Length", b"4")], b"body")
    assert wire.seen == [b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 4\r\n\r\nbody"]
    assert (made.fresh, made.status, made.response_complete) == (False, 200, True)
    wire, made = cycle()
    made.begin(200, [])
    made.end(b"body")
    assert wire.seen == [CHUNKED + b"4\r\nbody\r\n0\r\n\r\n"]


async def test_nothing_breaks_out_of_the_head_of_a_whole_answer() -> None:
    wire, made = cycle()
    with pytest.raises(RuntimeError, match="break out"):
        made.answer(200, [(b"x", b"a\r\nb: c")], b"")
    assert wire.seen == []
