"""Chunks of a chat or legacy completion stream: where usage goes, and how a failure looks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.simulator import usage
from services.simulator.api import Event, Stamp
from services.simulator.ask import Ask
from services.simulator.errors import Refused, written
from services.simulator.faults import Faults


@dataclass(slots=True)
class Part:
    """The member of ``choices`` in one chunk."""

    choice: dict[str, Any]
    delta: bool = False
    tokens: int = 0
    last: bool = False


def assembled(
    base: dict[str, Any], parts: Iterator[Part], ask: Ask, faults: Faults, total: usage.Usage
) -> Iterator[Event]:
    """The events of a stream, with usage where the request or its directives want it."""
    place, sent, padding = faults.usage_on, total.reasoning, faults.huge
    for part in parts:
        sent += part.tokens
        data = base | {"choices": [part.choice]} | _usage(part, ask, faults, total, sent)
        if place == "groq" and part.last:
            data["x_groq"] = {"id": base["id"], **usage.chat(total, faults.usage)}
        if part.delta and _obfuscated(ask):
            data["obfuscation"] = base["id"][-1 - sent % 8 :]
        if part.delta and padding:
            data["obfuscation"], padding = "x" * padding, 0
        yield Event(data, delta=part.delta, tokens=part.tokens)
    if place == "unasked" or (ask.include_usage and place != "finish"):
        member = usage.chat(total, faults.usage)
        if member:
            yield Event(base | {"choices": []} | member)


def failed(error: Refused, faults: Faults, stamp: Stamp, number: int) -> tuple[str | None, bytes]:
    """A failure in the stream: a ``data:`` line with the error's body."""
    return None, written(error, faults.error or "openai")[0]


def _usage(part: Part, ask: Ask, faults: Faults, total: usage.Usage, sent: int) -> dict[str, Any]:
    if faults.usage_on == "every" or (faults.usage_on == "finish" and part.last):
        known = total if part.last else usage.so_far(total, sent)
        return usage.chat(known, faults.usage)
    if ask.include_usage and faults.usage != "none":
        return {"usage": None}
    return {}


def _obfuscated(ask: Ask) -> bool:
    options = ask.body.get("stream_options")
    return not isinstance(options, dict) or options.get("include_obfuscation") is not False
