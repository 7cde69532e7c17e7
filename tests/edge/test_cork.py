"""Heads and bodies leave together, in order, and nothing is lost on the way."""

import asyncio

from services.edge.cork import Cork

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


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


def corked() -> tuple[Wire, Cork]:
    wire = Wire()
    return wire, Cork(wire, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_write() -> None:
    wire, cork = corked()
    cork.write(HEAD)
    cork.write(b"body")
    cork.write(b"more")
    await asyncio.sleep(0)
    assert wire.seen == [HEAD + b"body", b"more"]


async def test_a_head_alone_leaves_with_the_next_turn() -> None:
    wire, cork = corked()
    cork.write(HEAD)
    assert wire.seen == []
    await asyncio.sleep(0)
    assert wire.seen == [HEAD]


async def test_what_is_held_leaves_before_the_end() -> None:
    wire, cork = corked()
    cork.write(HEAD)
    cork.close()
    assert (wire.seen, wire.closed) == ([HEAD], True)
    assert cork.is_closing()


async def test_a_connection_that_broke_is_not_written_to() -> None:
    wire, cork = corked()
    cork.write(HEAD)
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.seen == []
