"""What the simulator says: text or tool calls, cut to size and into deltas."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import orjson

from services.simulator.ask import Ask
from services.simulator.faults import BadDirective, Faults
from services.simulator.usage import Usage, counted
from services.simulator.words import (
    BYTES_PER_TOKEN,
    clip,
    filler,
    fitting,
    lorem,
    pieces,
    seeded,
    tokens,
)

_ARGUMENT_PIECE = 8


class Delta(NamedTuple):
    """A piece of text or arguments and the tokens that come with it."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the function ``name``; the deltas are its arguments."""

    name: str
    deltas: list[Delta]

    @property
    def arguments(self) -> str:
        return "".join(delta.text for delta in self.deltas)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``n`` answers: text, or calls. ``finish`` is the finish reason."""

    finish: str
    deltas: list[Delta] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def tokens(self) -> int:
        calls = sum(delta.tokens for call in self.calls for delta in call.deltas)
        return calls + sum(delta.tokens for delta in self.deltas)


@dataclass(frozen=True, slots=True)
class Reply:
    """All the choices and what they cost; ``tokens`` is what is really written."""

    choices: list[Choice]
    usage: Usage

    @property
    def tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)


def composed(ask: Ask, faults: Faults, rest: str) -> Reply:
    """The reply to ``ask``; ``rest`` is the last user message without its directive."""
    choices = [_choice(ask, faults, rest, index) for index in range(ask.n)]
    written = sum(choice.tokens for choice in choices)
    return Reply(choices, counted(ask.prompt.tokens, written, faults))


def _choice(ask: Ask, faults: Faults, rest: str, index: int) -> Choice:
    random = seeded(ask.prompt.seed, index)
    calls = faults.calls if faults.calls is not None else int(ask.tool is not None)
    if calls:
        return _calling(ask, faults, random, calls)
    text = _text(ask, faults, rest, random)
    for stop in filter(None, ask.stop):
        text = text.split(stop, 1)[0]
    whole, text = text, text if ask.limit is None else clip(text, ask.limit)
    finish = "stop" if text == whole else "length"
    return Choice(finish, list(_deltas(pieces(text, faults.chunks))))


def _text(ask: Ask, faults: Faults, rest: str, random: Random) -> str:
    if faults.text is not None:
        return faults.text
    if faults.tokens is not None:
        return filler(random, faults.tokens)
    echo = ask.model.rsplit("/", 1)[-1] == "echo"
    text = rest if echo else lorem(random, faults.chunks or random.randint(20, 60))
    if ask.schema is None:
        return text
    fits = {"text": text} if ask.schema == {} else fitting(ask.schema, random)
    return orjson.dumps(fits).decode()


def _calling(ask: Ask, faults: Faults, random: Random, count: int) -> Choice:
    if ask.tool is None:
        raise BadDirective("calls: the request offers no tool that may be called")
    calls, left = [], ask.limit
    finish = "stop" if ask.forced else "tool_calls"
    for _ in range(count):
        whole = orjson.dumps(fitting(ask.tool.parameters, random) or {}).decode()
        room = None if left is None else max(0, left - tokens(ask.tool.name))
        arguments = whole if room is None else clip(whole, room)
        parts = pieces(arguments, faults.chunks or 1 + len(arguments) // _ARGUMENT_PIECE)
        call = Call(ask.tool.name, list(_deltas(parts, ask.tool.name)))
        calls.append(call)
        if left is not None:
            left -= sum(delta.tokens for delta in call.deltas)
        if arguments != whole:
            finish = "length"
            break
    return Choice(finish, calls=calls)


def _deltas(parts: list[str], before: str = "") -> Iterator[Delta]:
    size, told = len(before.encode()), 0
    for part in filter(None, parts) if before else parts:
        size += len(part.encode())
        total = math.ceil(size / BYTES_PER_TOKEN)
        yield Delta(part, total - told)
        told = total
