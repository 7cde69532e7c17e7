"""Members of a JSON object, changed in its bytes, so that everything else stays as it came. Pure.

For objects that orjson has accepted; big integers, spelling and order of the rest are kept.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]', re.S)
_LETTER = re.compile(rb"\\u00(?:6[1-9a-f]|7[0-9a]|5f)", re.I)
"""A small letter or an underscore, escaped: nobody who writes JSON does that, but it could hide the
name of a member."""
_COLON = re.compile(rb"\s*:\s*")


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


def canonical(body: bytes, document: Mapping[str, Any]) -> bool:
    """Whether the body is spelled exactly as we would, as most clients do: then nothing is in it
    that is not in the document, not even a name given twice."""
    return orjson.dumps(document) == body


def change(body: bytes, document: Mapping[str, Any], changes: Mapping[str, object]) -> bytes:
    """``body``, which means ``document``, with members set to new values; those it does not have
    are put in front."""
    if canonical(body, document):
        new = {name: value for name, value in changes.items() if name not in document}
        return orjson.dumps({**new, **document, **changes})
    return _changed(body, document, changes)


def _changed(body: bytes, document: Mapping[str, Any], changes: Mapping[str, object]) -> bytes:
    new: dict[str, object] = {}
    cuts: list[tuple[int, int, object]] = []
    for name, value in changes.items():
        place = _place(body, document, name) if name in document else None
        if place is not None:
            cuts.append((*place, value))
        elif name in document:
            cuts += ((m.start, m.end, value) for m in members(body) if m.name == name)
        else:
            new[name] = value
    pieces: list[bytes] = []
    at = 0
    for start, end, value in sorted(cuts, key=lambda cut: cut[0]):
        pieces += body[at:start], orjson.dumps(value)
        at = end
    pieces.append(body[at:])
    return _put_in_front(b"".join(pieces), new)


def _place(body: bytes, document: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    """Where the value of the member ``name`` of ``document`` lies, if that is plain to see: its
    name is in the text once, unescaped, and its value is spelled as we would."""
    if _hides_names(body) or _count(body, name) != 1:
        return None
    quoted = _quoted(name)
    colon = _COLON.match(body, body.index(quoted) + len(quoted))
    value = orjson.dumps(document[name])
    if colon is None or not body.startswith(value, colon.end()):
        return None
    return colon.end(), colon.end() + len(value)


def repeated(body: bytes, names: Set[str]) -> str | None:
    """The first of ``names`` that the outermost object has more than once."""
    if not _hides_names(body):
        for name in names:
            if _count(body, name) > 1:
                break
        else:
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


def _hides_names(body: bytes) -> bool:
    return b"\\u00" in body and _LETTER.search(body) is not None


def _count(body: bytes, name: str) -> int:
    return body.count(_quoted(name))


@lru_cache(maxsize=1_024)
def _quoted(name: str) -> bytes:
    return b'"%b"' % name.encode()
