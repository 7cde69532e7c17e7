"""Streams of chunks (chat, completions) made such that client libraries do not stumble over them.
Pure, on whole events; what is as it should be stays byte for byte as it came.

``tidy`` keeps data and comments only: libraries crash on other fields and on events without data.
``repair`` mends, in addition, what is in the chunks of some providers (``mend_stream`` in the
catalog): calls of tools without an index, choices without a delta, chunks without choices.
"""

import re
from typing import Any

from services.edge.sse import Mend, encode, payload, split

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)?")
_BOM = b"\xef\xbb\xbf"
_ENDS = (b"}\n\n", b"]\n\n")
_MEANT = (b'"choices"', b'"error"', b"[DONE]")


def mender(broken: bool) -> Mend:
    """For a provider with chunks that are ``broken``, or one without."""
    return repair if broken else tidy


def tidy(events: bytes) -> bytes:
    """``events``, of which nearly all are one line of data."""
    if events.startswith(b"data:") and events.endswith(_ENDS):
        if events.find(b"\n") == len(events) - 2:
            return events
        ends = events.count(b"\n\n")
        if ends == 1 + events.count(b"}\n\ndata:") and events.count(b"\n") == 2 * ends:
            return events
    return b"".join(map(_tidied, split(events)))


def repair(events: bytes) -> bytes:
    """``tidy``, and the chunks mended."""
    return b"".join(map(_repaired, split(tidy(events))))


def _tidied(event: bytes) -> bytes:
    kept: list[bytes] = []
    named = said = False
    for line in _LINE.findall(event.removeprefix(_BOM)):
        field, _, value = line.partition(b":")
        if field == b"data" or not line.strip() or line.startswith(b":"):
            kept.append(line)
            said = said or (field == b"data" and bool(value.strip()))
        else:
            named = named or (field == b"event" and value.strip() != b"message")
    if said and (not named or any(sign in event for sign in _MEANT)):
        return b"".join(kept)
    comments = [line for line in kept if line.startswith(b":")]
    return b"".join([*comments, b"\n"]) if comments and not said else b""


def _repaired(event: bytes) -> bytes:
    document = payload(event)
    if document is None or document.get("error"):
        return event
    given = document.get("choices")
    choices = given if isinstance(given, list) else []
    whole = [c for c in choices if isinstance(c, dict) and ("delta" in c or "text" in c)]
    if not whole and not document.get("usage"):
        return b""
    changed = [_index_calls(choice.get("delta")) for choice in whole]
    if any(changed) or len(whole) < len(choices) or given is None:
        return encode({**document, "choices": whole})
    return event


def _index_calls(delta: Any) -> bool:
    calls = delta.get("tool_calls") if isinstance(delta, dict) else None
    changed = False
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict) and not isinstance(call.get("index"), int):
            call["index"] = at
            changed = True
    return changed
