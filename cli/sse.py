"""Server-sent events, as they come."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from cli.failure import UNREACHABLE, Failure


def deltas(lines: Iterable[str]) -> Iterator[str]:
    """The pieces of text of a streamed chat completion. Raises Failure for an error event, and for
    a stream that ends before its end."""
    for data in _events(lines):
        if data == "[DONE]":
            return
        event = _parse(data)
        if event.get("error"):
            raise Failure(str(event["error"].get("message") or "the answer failed"))
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            yield from (str(delta[name]) for name in ("content", "refusal") if delta.get(name))
    raise Failure("the answer broke off before its end", UNREACHABLE)


def _events(lines: Iterable[str]) -> Iterator[str]:
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _parse(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise Failure("the answer holds an event that is not JSON")
    return event
