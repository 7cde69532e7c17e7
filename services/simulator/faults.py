"""Directives: what a request asks the simulator to do wrong, or exactly.

The list of keys is in the package's docstring.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson

HEADER = "x-simulator"

ERROR_STYLES = frozenset(
    [
        "openai",
        "string",
        "detail",
        "vllm",
        "cloudflare",
        "cloudflare_rest",
        "mistral",
        "array",
        "html",
        "text",
        "empty",
    ]
)
USAGES = frozenset(["none", "null", "zero", "negative", "huge", "bool", "text", "float"])
PLACES = frozenset(["every", "finish", "groq", "unasked"])
EOLS = {"crlf": "\r\n", "cr": "\r"}

_OPENING = re.compile(r"\s*\[\[sim\b")
_PAIR = re.compile(r'[;\s]*(?P<key>\w+)(?:=(?P<value>"(?:[^"\\]|\\.)*"|[^\s;\]]*))?')
_CLOSING = re.compile(r"[;\s]*\]\] ?")


class BadDirective(ValueError):
    """A directive that cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Faults:
    """One request's directives; times are milliseconds."""

    times: int | None = None
    model: str | None = None

    text: str | None = None
    tokens: int | None = None
    chunks: int | None = None
    calls: int | None = None
    headers: bool = False
    gzip: bool = False
    cache: str = "MISS"

    status: int | None = None
    error: str | None = None
    code: str | None = None
    type: str | None = None
    message: str | None = None
    retry_after: str | None = None

    delay: int = 0
    first: int | None = None
    drip: int | None = None
    hang: bool = False
    hang_after: int | None = None

    reset: bool = False
    cut_after: int | None = None
    close_after: int | None = None
    eof_after: int | None = None
    error_after: int | None = None

    malformed_after: int | None = None
    no_done: bool = False
    eol: str = "\n"
    split: int | None = None
    comments: bool = False
    huge: int = 0
    json: bool = False

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    audio: int | None = None
    audio_out: int | None = None
    usage: str | None = None
    usage_on: str | None = None

    @property
    def breaks(self) -> bool:
        """Whether something happens inside the body, at a counted place."""
        counted = (self.cut_after, self.close_after, self.eof_after)
        return any(n is not None for n in (*counted, self.hang_after, self.malformed_after))


def from_header(value: str) -> Faults:
    """The directives of an ``x-simulator`` header."""
    given, end = _pairs(value, 0)
    if value[end:].strip("; \t"):
        raise BadDirective(f"cannot read '{value[end:]}' in the header {HEADER}")
    return _faults(given)


def from_text(text: str) -> tuple[Faults, str]:
    """The directives at the beginning of a user message, and the message without them."""
    opening = _OPENING.match(text)
    if opening is None:
        return Faults(), text
    given, end = _pairs(text, opening.end())
    closing = _CLOSING.match(text, end)
    if closing is None:
        raise BadDirective(f"cannot read '{text[end : end + 40]}' in [[sim …]]")
    return _faults(given), text[closing.end() :]


def merged(weaker: Faults, stronger: Faults) -> Faults:
    """``weaker``, with all that ``stronger`` says."""
    plain = Faults()
    said = {f.name: getattr(stronger, f.name) for f in fields(Faults)}
    return replace(weaker, **{k: v for k, v in said.items() if v != getattr(plain, k)})


def _pairs(text: str, start: int) -> tuple[dict[str, str | None], int]:
    given: dict[str, str | None] = {}
    while pair := _PAIR.match(text, start):
        value = pair["value"]
        if value is not None and value.startswith('"'):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError as error:
                raise BadDirective(f"{pair['key']}: {error}") from error
        given[pair["key"]] = value
        start = pair.end()
    return given, start


def _faults(given: dict[str, str | None]) -> Faults:
    values: dict[str, Any] = {}
    for key, value in given.items():
        read = _READERS.get(key)
        if read is None:
            raise BadDirective(f"unknown directive '{key}'; there are: {', '.join(_READERS)}")
        try:
            values[key] = read(value)
        except ValueError as error:
            raise BadDirective(f"{key}={value}: {error}") from error
    return Faults(**values)


def _flag(value: str | None) -> bool:
    if value not in (None, "true", "false", "1", "0"):
        raise ValueError("is a flag, without a value")
    return value not in ("false", "0")


def _text(value: str | None) -> str:
    if value is None:
        raise ValueError("needs a value")
    return value


def _count(least: int = 0, most: int = 2**63 - 1) -> Callable[[str | None], int]:
    def read(value: str | None) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", value or "") or not least <= int(value or "") <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(value or "")

    return read


def _one_of(choices: frozenset[str]) -> Callable[[str | None], str]:
    def read(value: str | None) -> str:
        if value not in choices:
            raise ValueError(f"is not one of {', '.join(sorted(choices))}")
        return value

    return read


_READERS: dict[str, Callable[[str | None], Any]] = {
    **dict.fromkeys(["headers", "gzip", "hang", "reset", "no_done", "comments", "json"], _flag),
    **dict.fromkeys(["model", "text", "cache", "code", "type", "message", "retry_after"], _text),
    **dict.fromkeys(
        ["hang_after", "cut_after", "close_after", "eof_after", "error_after"], _count()
    ),
    **dict.fromkeys(["malformed_after", "prompt", "completion", "cached"], _count()),
    **dict.fromkeys(["reasoning", "audio", "audio_out"], _count()),
    **dict.fromkeys(["times", "calls"], _count(most=1_000)),
    **dict.fromkeys(["delay", "first", "drip"], _count(most=3_600_000)),
    **dict.fromkeys(["tokens", "chunks"], _count(least=1, most=1_000_000)),
    "status": _count(least=200, most=599),
    "huge": _count(most=100_000_000),
    "split": _count(least=1),
    "error": _one_of(ERROR_STYLES),
    "usage": _one_of(USAGES),
    "usage_on": _one_of(PLACES),
    "eol": lambda value: EOLS[_one_of(frozenset(EOLS))(value)],
}
