"""Tokens: what a provider says it billed, and what we can count ourselves. Pure.

Usage comes in chat's spelling (``prompt_tokens``) or that of responses (``input_tokens``), in a
document or over the chunks of a stream. Per field the largest value seen counts, nothing is ever
summed: some providers report running totals, some split the fields over chunks.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

MAX_TOKENS = 2**31
"""More than this in one request is a mistake of the provider."""

BYTES_PER_TOKEN = 4
"""A common ratio, for estimates only; bounds count a token for each byte."""
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_TOTALS = frozenset([*_INPUT, *_OUTPUT, "total_tokens"])
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")


class Tokens(NamedTuple):
    """What a request used, or at most can use. The details are parts of their totals."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write_input: int = 0
    audio_input: int = 0
    reasoning_output: int = 0
    audio_output: int = 0
    extra_units: int = 0

    def most(self, other: "Tokens") -> "Tokens":
        """The larger value of each field."""
        return Tokens(*map(max, self, other))


class BadUsage(ValueError):
    """A provider's usage that cannot be true."""


def parse_usage(usage: dict[str, Any]) -> Tokens:
    """The tokens of a ``usage`` object. Raises BadUsage for negative, non-integer or absurd
    numbers, and for a total that is smaller than its parts."""
    inputs, outputs = _count(usage, _INPUT), _count(usage, _OUTPUT)
    total = _count(usage, ("total_tokens",))
    if total > inputs + outputs and inputs:
        outputs = total - inputs  # thinking that some providers add to the total only
    elif 0 < total < inputs + outputs:
        raise BadUsage("total_tokens is smaller than its parts")
    if usage.keys() <= _TOTALS:
        return Tokens(inputs, outputs)
    read, written = _details(usage, _INPUT_DETAILS), _details(usage, _OUTPUT_DETAILS)
    cached = max(
        _count(read, ("cached_tokens",)),
        _count(usage, ("prompt_cache_hit_tokens", "cache_read_input_tokens")),
    )
    cache_write = max(
        _count(read, ("cache_write_tokens", "cache_creation_tokens")),
        _count(usage, ("cache_creation_input_tokens",)),
    )
    return Tokens(
        input=inputs,
        output=outputs,
        cached_input=min(cached, inputs),
        cache_write_input=min(cache_write, inputs - min(cached, inputs)),
        audio_input=min(_count(read, ("audio_tokens",)), inputs),
        reasoning_output=min(_count(written, ("reasoning_tokens",)), outputs),
        audio_output=min(_count(written, ("audio_tokens",)), outputs),
    )


def find_usage(document: object) -> dict[str, Any] | None:
    """The usage object of a chunk, an event or a whole answer, wherever providers put it."""
    if not isinstance(document, dict):
        return None
    for holder in (document, document.get("x_groq"), document.get("response")):
        if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
            found: dict[str, Any] = holder["usage"]
            return found
    return None


@dataclass(slots=True)
class Meter:
    """What one answer delivered so far: the provider's own numbers, and our count.

    Delivered events are kept until somebody needs the count, or until ``backlog_limit`` bytes have
    gathered; an answer that ends with the provider's usage is never read twice.
    """

    backlog_limit: int = 64 << 10
    seen: Tokens | None = None
    bad: bool = False
    finished: bool = False
    failed: bool = False
    identity: dict[str, Any] = field(default_factory=dict)
    units: int = 0
    text_bytes: int = 0
    deltas: int = 0
    uncounted: int = 0
    _backlog: list[bytes] = field(default_factory=list)

    def note(self, document: dict[str, Any]) -> None:
        """Take note of the usage in a document or an event, if there is any."""
        usage = find_usage(document)
        if usage is not None:
            self.see(usage)

    def see(self, usage: dict[str, Any]) -> None:
        """Take note of a usage object."""
        try:
            tokens = parse_usage(usage)
        except BadUsage:
            self.bad = True
            return
        self.seen = tokens if self.seen is None else self.seen.most(tokens)

    def passed(self, events: bytes) -> None:
        """Take note of whole events that the client was sent."""
        self._backlog.append(events)
        self.uncounted += len(events)
        if self.uncounted >= self.backlog_limit:
            self.count()

    def count(self) -> int:
        """Output tokens delivered, estimated: one for each delta, or one for each four bytes."""
        if self._backlog:
            gathered, self.uncounted = b"".join(self._backlog), 0
            self._backlog.clear()
            data: list[bytes] = []
            for line in gathered.splitlines():
                if line.startswith(b"data:"):
                    data.append(line[5:])
                elif data and not line:
                    self._read(b"\n".join(data))
                    data.clear()
        return self.counted

    @property
    def counted(self) -> int:
        """The same without the ``uncounted`` bytes, which cannot hold more tokens than bytes."""
        return max(self.deltas, -(-self.text_bytes // BYTES_PER_TOKEN))

    def whole(self) -> bool:
        """Whether the last event was delivered, and the provider's usage is known."""
        self.count()
        return self.finished and self.seen is not None and not self.failed

    def receive(self, document: dict[str, Any]) -> None:
        """Take note of a whole answer."""
        self.note(document)
        if self.seen is None:
            self.deliver(document)

    def extra(self) -> int:
        """What was delivered that is priced by piece."""
        return self.units

    def opaque(self, size: int, most: int) -> None:
        """Take note of an answer of so many bytes that is no JSON; it may have taken ``most``
        output tokens."""

    def deliver(self, document: dict[str, Any]) -> None:
        """Count the text of a whole answer."""
        self._choices(document, "message")

    def _read(self, data: bytes) -> None:
        if data.strip() == b"[DONE]":
            self.finished = True
            return
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        if event.get("error"):
            self.failed = True
        for name in ("id", "created", "model", "system_fingerprint"):
            if name in event:
                self.identity[name] = event[name]
        self._choices(event, "delta")

    def _choices(self, document: dict[str, Any], member: str) -> None:
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            size = text_size(choice.get(member)) + text_size(choice.get("text"))
            if size:
                self.text_bytes += size
                self.deltas += 1
            if choice.get("finish_reason"):
                self.finished = True


def text_size(value: object) -> int:
    """Bytes of UTF-8 in all that a model wrote in a delta or message: text, refusals, reasoning,
    names and arguments of calls; not roles, ids and types."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(text_size(item) for item in value)
    if isinstance(value, dict):
        return sum(text_size(v) for k, v in value.items() if k not in _NOT_WRITTEN)
    return 0


_NOT_WRITTEN = frozenset(["role", "id", "type", "index", "signature", "data", "annotations"])


def _count(holder: dict[str, Any], names: tuple[str, ...]) -> int:
    for name in names if holder else ():
        value = holder.get(name)
        if value is None:
            continue
        if type(value) is not int or not 0 <= value <= MAX_TOKENS:
            raise BadUsage(f"{name} is not a number of tokens")
        return value
    return 0


def _details(usage: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        if isinstance(usage.get(name), dict):
            found: dict[str, Any] = usage[name]
            return found
    return {}
