"""What is passed on in the connection's own turn stays in order with what the reader reads."""

import asyncio

from services.edge.transport import Exchange


def exchange() -> Exchange:
    return Exchange(asyncio.get_running_loop(), lambda slow: None, lambda: None)


async def read(made: Exchange, seen: list[bytes], keep: set[bytes]) -> None:
    """Reads; while it waits, all but ``keep`` takes the shortcut."""

    def take(chunk: bytes) -> bytes | None:
        if chunk in keep:
            return chunk
        seen.append(b"at once " + chunk)
        return None

    async for chunk in made:
        made.shortcut = None
        seen.append(chunk)
        await asyncio.sleep(0)  # as somebody who has to wait for room
        made.shortcut = take


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_chunks_come_in_their_order_whoever_passes_them_on() -> None:
    made, seen = exchange(), list[bytes]()
    reader = asyncio.create_task(read(made, seen, {b"d"}))
    await turns()
    made.feed(b"a")
    await turns()
    for chunk in (b"b", b"c", b"d", b"e", b"f"):  # the reader is woken by d: e and f wait for it
        made.feed(chunk)
    await turns()
    made.feed(b"g")
    made.finish()
    await reader
    assert seen == [b"a", b"at once b", b"at once c", b"d", b"e", b"f", b"at once g"]


async def test_nothing_is_passed_on_once_the_reader_has_given_up() -> None:
    made, seen = exchange(), list[bytes]()
    reader = asyncio.create_task(read(made, seen, set()))
    await turns()
    made.feed(b"a")
    await turns()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    made.feed(b"b")
    assert seen == [b"a"]


async def test_a_part_of_a_chunk_may_be_left_for_the_reader() -> None:
    made, seen = exchange(), list[bytes]()
    reader = asyncio.create_task(read(made, seen, set()))
    await turns()
    made.feed(b"a")
    await turns()
    made.shortcut = lambda chunk: b"rest of " + chunk
    made.feed(b"b")
    await turns()
    made.finish()
    await reader
    assert seen == [b"a", b"rest of b"]
