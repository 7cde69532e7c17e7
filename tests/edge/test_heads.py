"""A head said again is answered exactly as if it were read again."""

import asyncio
import http.client
import json
import random
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from services.edge import connection, heads
from services.edge.heads import HEAD, learned
from services.edge.limits import LimitedProtocol
from tests.edge.test_cycle import Wire
from tests.edge.wire import raw_connection, raw_request
from tests.edge.world import Member, World

SCOPE: Any = {"type": "http"}
HEAD_LINES = b"POST /a?b=c HTTP/1.1\r\nHost: e\r\nX-One: 1\r\n"


def head(size: int, lines: bytes = HEAD_LINES, after: bytes = b"X-Two: 2\r\n") -> bytes:
    return lines + b"Content-Length: %d\r\n" % size + after + b"\r\n"


def read(data: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a head, as the parser tells them."""
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    pairs = [line.partition(b":") for line in lines]
    return [(name.lower(), value.strip()) for name, _, value in pairs]


def known(data: bytes) -> heads.Head:
    found = learned(data, read(data), SCOPE)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [0, 1, 17, 999_999_999])
def test_a_head_is_recognised_with_any_length_and_told_with_its_own(size: int) -> None:
    first, again = head(5) + b"12345", head(size) + b"rest"
    told = known(first).said(again)
    assert told == (b"%d" % size, len(head(size)))
    scope, headers = known(first).scope(told[0])
    assert headers == read(head(size)) == scope["headers"]
    assert scope["type"] == "http"
    assert scope[HEAD].said(again) == told


@pytest.mark.parametrize(
    "again",
    [
        head(5, after=b"X-Two: 3\r\n"),
        head(5, after=b"x-two: 2\r\n"),
        head(5, lines=HEAD_LINES.replace(b"POST", b"PUT")),
        head(5, lines=HEAD_LINES.replace(b"/a", b"/b")),
        head(5, lines=HEAD_LINES + b"X-More: 1\r\n"),
        head(5).replace(b": 5\r", b": 5 \r"),
        head(5).replace(b": 5\r", b": +5\r"),
        head(5).replace(b": 5\r", b": \r"),
        head(5).replace(b": 5\r", b": 5,5\r"),
        head(5).replace(b": 5\r", b": 0x5\r"),
        head(5).replace(b": 5\r", b": 1234567890123456\r"),
        head(5)[:-1],
        head(5)[:40],
        b"\r\n" + head(5),
        b"",
    ],
)
def test_what_differs_in_a_byte_is_another_head(again: bytes) -> None:
    assert known(head(5)).said(again) is None


@pytest.mark.parametrize(
    "data",
    [
        HEAD_LINES + b"\r\n",
        HEAD_LINES + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        head(5, after=b"Transfer-Encoding: chunked\r\n"),
        head(5, after=b"Content-Length: 5\r\n"),
        head(5, after=b"Expect: 100-continue\r\n"),
        head(5, after=b"Upgrade: websocket\r\nConnection: upgrade\r\n"),
        head(5)[:-2],
        head(5).replace(b"\r\n", b"\n"),
        head(5, after=b"X-Long: " + b"a" * 9_000 + b"\r\n"),
        b"\r\n\r\n" + head(5),
    ],
)
def test_a_head_that_frames_its_body_otherwise_is_read_each_time(data: bytes) -> None:
    assert learned(data, read(data.lstrip()), SCOPE) is None


def test_one_that_hides_a_line_from_the_parser_is_read_each_time() -> None:
    assert learned(head(5), read(head(5))[:-1], SCOPE) is None


def conversation(random_: random.Random, requests: int) -> bytes:
    """Requests in a row, most of them with a head that was there just before."""
    said = b""
    lines, after = HEAD_LINES, b"X-Two: 2\r\n"
    for _ in range(requests):
        kind = random_.random()
        if kind < 0.2:
            lines = b"POST /%d HTTP/1.1\r\nHost: e\r\n" % random_.randrange(3)
            after = b"X-Two: %d\r\n" % random_.randrange(2)
        body = random_.randbytes(random_.choice([0, 1, 9, 10, 300, 70_000]))
        if kind > 0.9:
            said += lines + b"Transfer-Encoding: chunked\r\n\r\n"
            said += b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            said += b"0\r\n\r\n"
        else:
            said += head(len(body), lines, after) + body
    return said + HEAD_LINES + b"Connection: close\r\nContent-Length: 2\r\n\r\nxx"


def cut(random_: random.Random, said: bytes) -> list[bytes]:
    """In pieces that begin anywhere, most of them where a request does."""
    places = {said.find(b"POST", at) for at in range(0, len(said), 60)} - {-1}
    places |= {random_.randrange(len(said)) for _ in range(random_.randrange(6))}
    kept = sorted(place for place in places if random_.random() < 0.8)
    return [said[a:b] for a, b in zip([0, *kept], [*kept, len(said)], strict=True) if a < b]


class End(Wire):
    """The server's end of a connection that is none."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None: ...


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    named = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    told = {**{name: str(scope[name]) for name in TOLD}, "headers": named, "body": body.hex()}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


TOLD = ("type", "method", "path", "raw_path", "query_string", "http_version", "scheme", "state")


async def answers(pieces: list[bytes]) -> list[Any]:
    """What a server answers to these reads, and whether it has closed."""
    config = uvicorn.Config(tell, http=LimitedProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol, end = LimitedProtocol(config, ServerState(), {}), End()
    protocol.connection_made(end)
    for piece in pieces:
        protocol.data_received(piece)
        await asyncio.sleep(0)
    while protocol.tasks:
        await asyncio.wait(set(protocol.tasks))
    protocol.connection_lost(None)
    told = b"".join(end.seen).split(b"HTTP/1.1 200 OK\r\n")[1:]
    bodies = [answer[answer.index(b"{") : answer.rindex(b"}") + 1] for answer in told]
    return [*map(json.loads, bodies), end.closed]


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lengths with which heads are said again."""
    lengths: list[bytes] = []
    scope = heads.Head.scope

    def noted(head: heads.Head, digits: bytes) -> Any:
        lengths.append(digits)
        return scope(head, digits)

    monkeypatch.setattr(heads.Head, "scope", noted)
    return lengths


@pytest.mark.parametrize("seed", range(40))
async def test_a_conversation_is_answered_as_by_a_server_that_reads_every_head(
    seed: int, repeated: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    said = conversation(chance, 25)
    monkeypatch.setattr(connection, "_LESSONS", 1_000)
    monkeypatch.setattr(connection.Connection, "_lessons", 1_000)
    found = await answers(cut(chance, said))
    times = len(repeated)
    assert times, "no head was taken as said again"
    monkeypatch.setattr(connection.Connection, "_lessons", 0)
    expected = await answers([said])
    assert len(repeated) == times, "the other server did not read every head"
    assert len(expected) == 27
    assert found == expected


async def test_a_client_whose_heads_never_come_again_is_not_listened_to(
    repeated: list[bytes],
) -> None:
    changing = [head(0, after=b"X-Three: %d\r\n" % number) for number in range(3)]
    await answers([*changing, head(0), head(1) + b"x", head(2) + b"xx"])
    assert repeated == []
    await answers([*changing[1:], head(0), head(1) + b"x", head(2) + b"xx"])
    assert repeated == [b"1", b"2"]


async def test_after_the_answer_that_closes_nothing_is_taken_from_the_connection(
    repeated: list[bytes],
) -> None:
    closing = head(0, after=b"Connection: close\r\n")
    *told, closed = await answers([head(0), closing, head(0), closing])
    assert closed
    assert len(told) == 2
    assert repeated == []


async def test_of_two_heads_in_one_read_neither_is_taken_for_the_other(
    repeated: list[bytes],
) -> None:
    one, two = head(0), head(0, after=b"X-Two: 3\r\n")
    *told, _ = await answers([one + two, one, two])
    named = [dict(asked["headers"])["x-two"] for asked in told]
    assert named == ["2", "3", "2", "3"]
    assert repeated == []


async def test_a_body_may_come_in_any_pieces(repeated: list[bytes]) -> None:
    again = head(300) + b"y" * 300 + head(0)
    pieces = [again[:-1][at : at + 7] for at in range(len(head(300)), len(again), 7)]
    *told, _ = await answers([head(1) + b"x", head(300), *pieces, again[-1:]])
    assert [len(one["body"]) // 2 for one in told] == [1, 300, 0]
    assert repeated == [b"300"]


def test_a15_a_key_in_a_repeated_head_is_refused_once_it_is_revoked(gateway: World) -> None:
    one, other = gateway.member(), gateway.member()
    body = b'{"model":"simulator/echo","messages":[{"role":"user","content":"Hello"}]}'

    def asked(wire: socket.socket, member: Member) -> int:
        wire.sendall(raw_request(member, body))
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        answer.read()
        return answer.status

    with raw_connection(gateway.url) as wire:
        assert [asked(wire, who) for who in (one, one, other, other, one, one)] == [200] * 6
        spent = [gateway.usage(who).spent_nano_usd for who in (one, other)]
        gateway.ask_auth("RevokeApiKey", user_id=one.user, key_id=one.key_id)
        assert [asked(wire, who) for who in (one, one, other, other)] == [401, 401, 200, 200]
    assert gateway.usage(one).spent_nano_usd == spent[0]
    assert gateway.usage(other).spent_nano_usd == 2 * spent[1]
