"""Every way a stream can end, at every place in it: one outcome each, charged as the table says."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import pytest

from tests.edge.world import Member, World

CHUNKS = 12
PER_CHUNK = 4
"""Tokens in each delta, and so 16 bytes: our own count is exact."""

BREAKS = ("cut_after", "close_after", "eof_after", "error_after")


@dataclass
class Ending:
    how: str
    place: int
    stream: bool
    request_id: str = ""
    received: int = 0


async def end(client: httpx.AsyncClient, gateway: World, member: Member, one: Ending) -> None:
    """Ask for an answer that ends as told, and note what came."""
    directive = "" if one.how in ("hang_up", "whole") else f"{one.how}={one.place}"
    pace = "drip=40" if one.how == "hang_up" else ""
    asked = f"[[sim tokens={CHUNKS * PER_CHUNK} chunks={CHUNKS} {directive} {pace}]] go"
    body = {
        "model": "simulator/lorem",
        "messages": [{"role": "user", "content": asked}],
        "max_tokens": 400,
        "stream": one.stream,
    }
    headers = {"authorization": f"Bearer {member.key}"}
    async with client.stream(
        "POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers
    ) as answer:
        one.request_id = answer.headers["x-request-id"]
        gathered = b""
        async for piece in answer.aiter_raw():
            gathered += piece
            one.received = gathered.count(b'"content":"') - gathered.count(b'"content":""')
            if one.how == "hang_up" and one.received > one.place:
                return


def outcomes(gateway: World, member: Member) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for entry in gateway.journal(member):
        if entry.kind != "reserve":
            found[entry.request_id].append(entry)
    return found


def asked(gateway: World, member: Member, endings: list[Ending]) -> dict[str, list[Any]]:
    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=12)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client:
            await asyncio.gather(*(end(client, gateway, member, one) for one in endings))

    asyncio.run(all_of_them())
    return outcomes(gateway, member)


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_anywhere_is_charged_for_what_was_delivered(
    gateway: World, how: str
) -> None:
    member = gateway.member()
    endings = [Ending(how, place, stream=True) for place in range(CHUNKS + 1)]
    found = asked(gateway, member, endings)
    for one in endings:
        [entry] = found[one.request_id]
        case = f"{how}={one.place}: {entry}"
        if how == "error_after" and one.place == 0:
            assert (entry.kind, entry.spent_nano_usd) == ("release", 0), case
            continue
        assert entry.kind == "settle", case
        if one.place < CHUNKS:
            assert entry.usage.output_tokens == one.place * PER_CHUNK, case
            assert set(entry.flags) == {"estimated", "partial"}, case
        else:
            assert entry.usage.output_tokens == CHUNKS * PER_CHUNK, case


def test_a_client_that_leaves_anywhere_pays_for_what_was_delivered(gateway: World) -> None:
    member = gateway.member()
    endings = [Ending("hang_up", place, stream=True) for place in range(CHUNKS)]
    found = asked(gateway, member, endings)
    for one in endings:
        [entry] = found[one.request_id]
        assert entry.kind == "settle"
        least, most = one.received * PER_CHUNK, CHUNKS * PER_CHUNK
        assert least <= entry.usage.output_tokens <= most, f"{one}: {entry}"
        if entry.usage.output_tokens < most:
            assert set(entry.flags) == {"estimated", "partial"}, f"{one}: {entry}"


@pytest.mark.parametrize("how", ["cut_after", "close_after", "eof_after"])
def test_an_answer_in_one_piece_that_breaks_anywhere_has_one_outcome(
    gateway: World, how: str
) -> None:
    member = gateway.member()
    endings = [Ending(how, place, stream=False) for place in range(4)]
    found = asked(gateway, member, endings)
    for one in endings:
        [entry] = found[one.request_id]
        assert entry.kind == "settle"
        assert set(entry.flags) == {"unreconciled"}, f"{one}: {entry}"
        assert entry.usage.output_tokens == 0 < entry.usage.input_tokens


def test_whole_answers_are_charged_by_the_providers_word(gateway: World) -> None:
    member = gateway.member()
    endings = [Ending("whole", 0, stream=stream) for stream in (True, False)]
    found = asked(gateway, member, endings)
    for one in endings:
        [entry] = found[one.request_id]
        assert entry.usage.output_tokens == CHUNKS * PER_CHUNK
        assert list(entry.flags) == []
