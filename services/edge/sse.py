"""Server-sent events on bytes: cut into whole events, watched, never re-encoded. Pure."""

import re
from collections.abc import Callable
from typing import Any

import orjson

from services.edge.usage import Meter

MAX_EVENT = 16 << 20
"""Bytes of one event that are waited for."""

_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_DONE = re.compile(rb"(?:^|[\r\n])data:[ ]?\[DONE\][\r\n]*$")
_NULL_USAGE = re.compile(rb'(,\s*)?"usage"\s*:\s*null(?(1)|\s*,?)')
_NOTHING = b'"usage":null'


Mend = Callable[[bytes], bytes]


class EventTooLong(Exception):
    """The provider sends an event that has no end."""


class Sieve:
    """Passes whole events on, byte for byte, and shows the meter the usage in them.

    With ``withhold`` the client did not ask for usage, but we did: the event that has only usage
    is kept back, and ``"usage": null`` is taken out of the others. ``mend`` gives other bytes for
    events.
    """

    def __init__(self, meter: Meter, *, withhold: bool, mend: Mend | None = None) -> None:
        self._meter = meter
        self._mend = mend
        self._withhold = withhold
        self._rest = bytearray()
        self.done = False

    @property
    def held(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> bytes:
        """The events that ``chunk`` completes. Raises EventTooLong."""
        if self._rest:
            searched = max(len(self._rest) - 3, 0)
            self._rest += chunk
            end = _last_end(self._rest, searched)
            ready = bytes(self._rest[:end])
            del self._rest[:end]
        elif chunk.endswith(b"\n\n"):
            ready = chunk
        else:
            end = _last_end(chunk, 0)
            ready = chunk[:end]
            self._rest += chunk[end:]
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong
        return self._look(ready) if ready else ready

    def rest(self) -> bytes:
        """What came after the last blank line, at the end of the body. An event that is whole but
        for its blank line gets one; half an event is dropped."""
        rest, self._rest = bytes(self._rest), bytearray()
        if not rest.strip():
            return rest
        if not _whole(rest):
            return b""
        return self._look(rest if rest.endswith((b"\n", b"\r")) else rest + b"\n") + b"\n"

    def _look(self, ready: bytes) -> bytes:
        if self._mend is not None:
            ready = self._mend(ready)
        if b'"usage"' in ready:
            ready = b"".join(map(self._sift, split(ready)))
        if b"[DONE]" in ready[-24:] and _DONE.search(ready[-24:]):
            self.done = True
        return ready

    def _sift(self, event: bytes) -> bytes:
        times = event.count(b'"usage"')
        if not times or (times == 1 and not self._withhold and _NOTHING in event):
            return event
        document = payload(event)
        if document is None:
            return event
        self._meter.note(document)
        if not self._withhold:
            return event
        if document.get("usage") and document.get("choices") == []:
            return b""
        if "usage" in document and document["usage"] is None:
            return _NULL_USAGE.sub(b"", event, count=1)
        return event


def plain(chunk: bytes) -> bool:
    """Whether a chunk is one event, a line of data, with nothing in it to look at; as nearly all
    are."""
    return (
        chunk.startswith(b"data:")
        and chunk.endswith(b"}\n\n")
        and chunk.find(b"\n") == len(chunk) - 2
        and b'"usage"' not in chunk
    )


def split(events: bytes) -> list[bytes]:
    """Whole events, each with its blank line."""
    found, start = [], 0
    for blank in _BLANK.finditer(events):
        found.append(events[start : blank.end()])
        start = blank.end()
    if start < len(events):
        found.append(events[start:])
    return found


def payload(event: bytes) -> dict[str, Any] | None:
    """The JSON object in an event's data lines."""
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        document = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def encode(document: dict[str, Any]) -> bytes:
    """A data-only event, the one form every client reads."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _last_end(data: bytes | bytearray, start: int) -> int:
    """Where the last whole event ends."""
    if data.find(b"\r", start) < 0:
        found = data.rfind(b"\n\n", start)
        return found + 2 if found >= 0 else 0
    end = 0
    for blank in _BLANK.finditer(data, start):
        end = blank.end()
    return end


def _whole(event: bytes) -> bool:
    return event.strip().endswith(b"[DONE]") or payload(event) is not None
