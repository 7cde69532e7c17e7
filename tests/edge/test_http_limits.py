"""The HTTP server against connections that do what they should not."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from services.edge.limits import Limits
from services.edge.server import HttpServer

QUICK = Limits(head_seconds=0.3, body_seconds=0.5, reader_seconds=0.4)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body and the headers it saw; /flood writes without end."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    names = [name.decode() for name, _ in scope["headers"]]
    body = json.dumps({"size": size, "headers": names, "path": scope["path"]}).encode()
    head = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    while scope["path"] == "/flood":
        await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        if (await asyncio.wait_for(_peek(receive), 5)) == "http.disconnect":
            return
    await send({"type": "http.response.body", "body": body})


async def _peek(receive: Any) -> str:
    try:
        async with asyncio.timeout(0.001):
            return str((await receive())["type"])
    except TimeoutError:
        return ""


@contextmanager
def serving(connections: int = 50, keep_alive: int = 75, **options: Any) -> Iterator[int]:
    """A server in a thread of its own; the value is its port."""
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        server = HttpServer(
            echo,
            listen="127.0.0.1:0",
            drain_seconds=1,
            max_connections=connections,
            keep_alive=keep_alive,
            limits=options.get("limits", QUICK),
        )
        await server.start()
        stop = asyncio.Event()
        port = int(server.address.rpartition(":")[2])
        started.set_result((port, asyncio.get_running_loop(), stop))
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    port, loop, stop = started.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as made:
        yield made


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def refused(answer: bytes, status: int) -> dict[str, Any]:
    """The error of the one answer there is."""
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"x-request-id: req_" in head
    assert b"connection: close" in head
    error: dict[str, Any] = json.loads(body)["error"]
    return error


H = b"host: e\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"

FRAMING = {
    "C1 CL and TE": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "C1 TE and CL": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "C2 two lengths": POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "C2 one length twice": POST + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "C2 list of lengths": POST + b"content-length: 1, 1\r\n\r\nx",
    "C2 signed length": POST + b"content-length: +1\r\n\r\nx",
    "C2 negative length": POST + b"content-length: -1\r\n\r\nx",
    "C2 hex length": POST + b"content-length: 0x1\r\n\r\nx",
    "C2 huge length": POST + b"content-length: 99999999999999999999\r\n\r\nx",
    "C2 xchunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "C2 chunked twice": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "C2 space before colon": b"GET / HTTP/1.1\r\nhost : e\r\n\r\n",
    "C2 no name": b"GET / HTTP/1.1\r\n" + H + b": x\r\n\r\n",
    "C2 obs-fold": b"GET / HTTP/1.1\r\n" + H + b"a: b\r\n c\r\n\r\n",
    "C2 NUL": b"GET / HTTP/1.1\r\n" + H + b"a: b\0c\r\n\r\n",
    "C2 CR in value": b"GET / HTTP/1.1\r\n" + H + b"a: b\rc\r\n\r\n",
    "C2 bare LF": b"GET / HTTP/1.1\n" + b"host: e\n\n",
    "C2 bad chunk": CHUNKED + b"z\r\nx\r\n0\r\n\r\n",
    "C2 chunk 0x": CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n",
    "C2 negative chunk": CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
    "C2 huge chunk": CHUNKED + b"fffffffffffffffff\r\nx\r\n",
    "C2 chunk without CRLF": CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
    "C2 no version": b"GET /\r\n\r\n",
    "C2 version": b"GET / HTTP/9.9\r\n" + H + b"\r\n",
    "C11 preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "C2 TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "C2 space in target": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n",
    "C3 no host": b"GET / HTTP/1.1\r\n\r\n",
    "C3 empty host": b"GET / HTTP/1.1\r\nhost:\r\n\r\n",
    "C3 two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "C3 path in host": b"GET / HTTP/1.1\r\nhost: e/admin?x\r\n\r\n",
    "C3 user in host": b"GET / HTTP/1.1\r\nhost: a@e\r\n\r\n",
    "C3 space in host": b"GET / HTTP/1.1\r\nhost: a e\r\n\r\n",
}


@pytest.mark.parametrize("name", FRAMING)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(
    port: int, name: str
) -> None:
    with connected(port) as connection:
        # A second request behind it must never be served.
        connection.sendall(FRAMING[name] + b"GET /second HTTP/1.1\r\nhost: e\r\n\r\n")
        answer = rest(connection)
    assert refused(answer, 400)["code"] == "bad_request"
    assert b"/second" not in answer


HEADS = {
    "one of 17 KiB": b"a: " + b"x" * (17 << 10) + b"\r\n",
    "101 headers": b"".join(b"a%d: x\r\n" % n for n in range(101)),
    "33 KiB in all": b"".join(b"a%d: %b\r\n" % (n, b"x" * 3_000) for n in range(12)),
}


@pytest.mark.parametrize("name", HEADS)
def test_c4_large_heads_are_refused(port: int, name: str) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + H + HEADS[name] + b"\r\n")
        error = refused(rest(connection), 431)
    assert error["code"] == "request_header_fields_too_large"


def test_c4_a_long_target_is_refused(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET /" + b"a" * (33 << 10) + b" HTTP/1.1\r\n" + H + b"\r\n")
        refused(rest(connection), 431)


ENDLESS = {
    "header": b"GET / HTTP/1.1\r\n" + H + b"a: ",
    "trailer": CHUNKED + b"0\r\na: ",
    "chunk extension": CHUNKED + b"1;a=",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_c4_what_has_no_end_is_not_gathered(port: int, name: str) -> None:
    with connected(port) as connection:
        connection.sendall(ENDLESS[name])
        with pytest.raises(OSError):
            for _ in range(1_000):
                connection.sendall(b"x" * 16_384)


@pytest.mark.parametrize(
    ("begin", "status"),
    [(b"", 0), (b"GET /", 408), (b"GET / HTTP/1.1\r\n" + H, 408), (b"\r\n", 0)],
)
def test_c5_a_head_that_drips_is_cut_off(port: int, begin: bytes, status: int) -> None:
    began = time.monotonic()
    with connected(port) as connection:
        connection.sendall(begin)
        connection.settimeout(0.05)
        answer = b""
        while time.monotonic() - began < 5:
            try:
                if not (piece := connection.recv(4_096)):
                    break
                answer += piece
            except TimeoutError:
                connection.sendall(b"x" if status else b"\r\n")
            except OSError:
                break
    assert 0.2 < time.monotonic() - began < 3
    if status:
        refused(answer, status)
    else:
        assert answer == b""


def test_c5_a_body_that_drips_is_cut_off(port: int) -> None:
    began = time.monotonic()
    with connected(port) as connection:
        connection.sendall(POST + b"content-length: 1000\r\n\r\n")
        connection.settimeout(0.05)
        answer = b""
        while time.monotonic() - began < 5 and not answer:
            try:
                answer = connection.recv(4_096)
            except TimeoutError:
                connection.sendall(b"x")
    assert 0.4 < time.monotonic() - began < 3
    assert refused(answer, 408)["code"] == "request_timeout"


def test_c5_who_reads_nothing_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET /flood HTTP/1.1\r\n" + H + b"\r\n")
        time.sleep(1.2)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert not answer.endswith(b"0\r\n\r\n")


def whole(connection: socket.socket) -> dict[str, Any]:
    """One answer in chunks."""
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        piece = connection.recv(65_536)
        assert piece, answer
        answer += piece
    found: dict[str, Any] = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
    return found


def test_c6_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    with serving(keep_alive=1, limits=Limits()) as port, connected(port) as connection:
        for _ in range(3):
            time.sleep(0.5)
            connection.sendall(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            whole(connection)
        began = time.monotonic()
        assert rest(connection) == b""
        assert 0.7 < time.monotonic() - began < 3


def test_c6_a_connection_above_the_cap_is_told_so() -> None:
    with serving(connections=3, limits=Limits()) as port:
        held = [connected(port) for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            whole(connection)
        with connected(port) as one_more:
            assert refused(rest(one_more), 503)["code"] == "overloaded"
        held.pop().close()
        _until(lambda: _served(port))
        for connection in held:
            connection.close()


def _served(port: int) -> bool:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nconnection: close\r\n" + H + b"\r\n")
        return rest(connection).startswith(b"HTTP/1.1 200")


def _until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_c7_an_upgrade_is_ignored_and_the_body_is_read(port: int) -> None:
    head = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"
    with connected(port) as connection:
        connection.sendall(POST + head + b"content-length: 5\r\n\r\nhello")
        assert whole(connection)["size"] == 5
        connection.sendall(POST + b"transfer-encoding: chunked\r\n" + head + b"\r\n1\r\nx")
        connection.sendall(b"\r\n2\r\nyz\r\n0\r\n\r\n")
        assert whole(connection)["size"] == 3
        connection.sendall(b"GET /socket HTTP/1.1\r\n" + H + head + b"\r\n")
        assert whole(connection)["path"] == "/socket"


def test_c7_trailers_are_no_headers(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(CHUNKED + b"1\r\nx\r\n0\r\nauthorization: Bearer x\r\n\r\n")
        seen = whole(connection)
    assert seen["size"] == 1
    assert "authorization" not in seen["headers"]


def test_requests_may_be_sent_at_once_and_are_answered_in_order(port: int) -> None:
    with connected(port) as connection:
        asked = [b"GET /%d HTTP/1.1\r\nhost: e\r\n\r\n" % n for n in range(5)]
        connection.sendall(
            b"".join(asked[:-1]) + asked[-1].replace(b"host", b"connection: close\r\nhost")
        )
        answer = rest(connection)
    assert [answer.index(b'"/%d"' % n) for n in range(5)] == sorted(
        answer.index(b'"/%d"' % n) for n in range(5)
    )


def test_a_slow_answer_is_no_slow_request(port: int) -> None:
    """The head's and the body's deadlines end with the request."""
    with connected(port) as connection:
        connection.sendall(b"GET /flood HTTP/1.1\r\n" + H + b"\r\n")
        connection.settimeout(5)
        ends = time.monotonic() + 1.0
        while time.monotonic() < ends:
            assert connection.recv(1 << 20)
