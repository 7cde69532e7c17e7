"""Members of a JSON object, changed in its bytes, so that everything else stays as it came. Pure.

For objects that orjson has accepted; big integers, spelling and order of the rest are kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.S)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the outermost object: its name, and where its value lies."""

    name: str
    start: int
    end: int


def members(body: bytes) -> list[Member]:
    """The members of the outermost object, in order, repeated names included."""
    found: list[Member] = []
    depth, name, start = 0, "", 0
    last = b""
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in b"{[":
            depth += 1
        elif depth == 1 and text == b":":
            name, start = orjson.loads(last), token.end()
        elif depth == 1 and text in b",}":
            if start:
                found.append(Member(name, start, token.start()))
            start = 0
            depth -= text == b"}"
        elif text in b"}]":
            depth -= 1
        last = text
    return found


def change(body: bytes, changes: Mapping[str, object]) -> bytes:
    """``body`` with members set to new values; those it does not have are put in front."""
    waiting = dict(changes)
    pieces: list[bytes] = []
    at = 0
    if any(_written(body, name) for name in changes):
        for member in members(body):
            if member.name in waiting:
                pieces += body[at : member.start], orjson.dumps(waiting.pop(member.name))
                at = member.end
    pieces.append(body[at:])
    return _put_in_front(b"".join(pieces), waiting)


def repeated(body: bytes, names: frozenset[str]) -> str | None:
    """The first of ``names`` that the outermost object has more than once."""
    suspects = b"\\u00" in body or any(_count(body, name) > 1 for name in names)
    if not suspects:
        return None
    seen: set[str] = set()
    for member in members(body):
        if member.name in names and member.name in seen:
            return member.name
        seen.add(member.name)
    return None


def _put_in_front(body: bytes, new: Mapping[str, object]) -> bytes:
    if not new:
        return body
    opening = body.index(b"{") + 1
    head = orjson.dumps(new)[1:-1]
    comma = b"" if body[opening:].lstrip().startswith(b"}") else b","
    return body[:opening] + head + comma + body[opening:]


def _count(body: bytes, name: str) -> int:
    return body.count(b'"%b"' % name.encode())


def _written(body: bytes, name: str) -> bool:
    """Whether a member of this name may be in the text."""
    return _count(body, name) > 0 or b"\\u00" in body
