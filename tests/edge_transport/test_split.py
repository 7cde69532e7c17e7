"""However TCP cuts an answer, the caller sees the same."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from services.edge.transport.connection import Connection

BODY = b'data: {"a":1}\n\ndata: [DONE]\n\n'
ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:3], BODY[3:17], BODY[17:]))
    + b"0\r\nx-t: 1\r\n\r\n",
]


class Wire(asyncio.Transport):
    """Stands in for the socket: the test is the network."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.written += b"".join(list_of_data)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def fileno(self) -> int:
        return 0


def cuts(text: bytes, at: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(text), *(i % len(text) for i in at)})
    return (text[a:b] for a, b in itertools.pairwise(edges))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 10_000), max_size=40), st.integers(1, 3))
def test_any_cut_of_the_bytes_gives_the_same_answer(
    answer: bytes, at: list[int], rounds: int
) -> None:
    async def run() -> None:
        freed: list[Connection] = []
        gone: list[Connection] = []
        connection = Connection(asyncio.get_running_loop(), freed.append, gone.append)
        connection.connection_made(Wire())
        for done in range(rounds):
            exchange = connection.start(bodyless=False, read=None, write=None)
            for piece in cuts(answer, at):
                connection.data_received(piece)
            assert exchange.status == 200
            assert httpx.Headers(exchange.headers)["content-type"] == "text/event-stream"
            assert b"".join([chunk async for chunk in exchange]) == BODY
            assert len(freed) == done + 1
        assert gone == []

    asyncio.run(run())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 10_000), max_size=40), st.data())
def test_an_answer_cut_off_anywhere_is_never_taken_for_whole(
    answer: bytes, at: list[int], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, len(answer) - 1))

    async def run() -> None:
        gone: list[Connection] = []
        connection = Connection(asyncio.get_running_loop(), lambda _: None, gone.append)
        connection.connection_made(Wire())
        exchange = connection.start(bodyless=False, read=None, write=None)
        for piece in cuts(answer[:kept], at) if kept else ():
            connection.data_received(piece)
        connection.eof_received()
        connection.connection_lost(None)
        assert gone == [connection]
        assert isinstance(exchange.error, httpx.RemoteProtocolError)

    asyncio.run(run())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=20))
def test_noise_never_escapes_as_anything_but_a_protocol_error(noise: list[bytes]) -> None:
    async def run() -> None:
        connection = Connection(asyncio.get_running_loop(), lambda _: None, lambda _: None)
        connection.connection_made(Wire())
        exchange = connection.start(bodyless=False, read=None, write=None)
        for piece in noise:
            connection.data_received(piece)
        connection.connection_lost(None)
        assert exchange.error is None or isinstance(exchange.error, httpx.TransportError)

    asyncio.run(run())
