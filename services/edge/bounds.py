"""How many tokens a request can use at most. Pure.

Every token of text covers at least one byte, for byte-level and byte-fallback tokenizers, and the
JSON text of a string is never shorter than the string: so the body's own length bounds its text,
its tools and its schemas, whatever they are. What is not text is taken out and replaced by a
maximum of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from services.edge.catalog import Target
from services.edge.errors import ApiError, invalid
from services.edge.openai import Ask
from services.edge.usage import BYTES_PER_TOKEN, Tokens

PER_REQUEST = 64
PER_MESSAGE = 16
IMAGE = 6_000
IMAGES = (("openai/gpt-4o-mini*", 48_200),)
"""Tokens of the largest image, by model where it is more than usual."""
IMAGE_ESTIMATE = 800
AUDIO_BASE = 100
AUDIO_BYTES_PER_TOKEN = 16
"""Of base64 text; the leanest codecs at the densest tokenizers."""
MIN_OUTPUT = 256
"""Smallest grant that is worth an answer, for each choice."""

_TEXT_PARTS = frozenset(
    [
        "text",
        "input_text",
        "output_text",
        "refusal",
        "thinking",
        "redacted_thinking",
        "reasoning",
        "reasoning_text",
        "tool_use",
        "tool_result",
        "document",
    ]
)
_DATA_URL = "data:"


class Bound(NamedTuple):
    """``most`` is never exceeded; ``estimated_input`` is what the input is likely to count."""

    most: Tokens
    least_output: int
    estimated_input: int
    window: bool = False
    """The stream has no cap: ``most.output`` is its first window, to be extended."""


@dataclass(slots=True)
class _Parts:
    """What is not text: bytes that are no text, and the tokens in their place."""

    model: str
    taken_out: int = 0
    tokens: int = 0
    audio: int = 0
    estimate: int = 0

    def image(self, url: object) -> None:
        if isinstance(url, str) and url.startswith(_DATA_URL):
            self.taken_out += len(url)
        self.tokens += next((n for p, n in IMAGES if fnmatchcase(self.model, p)), IMAGE)
        self.estimate += IMAGE_ESTIMATE

    def sound(self, data: object) -> None:
        size = len(data) if isinstance(data, str) else 0
        most = AUDIO_BASE + size // AUDIO_BYTES_PER_TOKEN
        self.taken_out += size
        self.tokens += most
        self.audio += most
        self.estimate += most // 4


def chat_bound(ask: Ask, target: Target, first_window: int) -> Bound:
    """The bound of a chat request. Raises ApiError 400 for content that cannot be bounded."""
    messages: list[dict[str, Any]] = ask.body["messages"]
    contents = [
        (f"messages.{number}.content", message["content"])
        for number, message in enumerate(messages)
        if isinstance(message.get("content"), list)
    ]
    return content_bound(
        ask,
        target.model,
        contents,
        messages=len(messages),
        output=output_bound(ask, target.max_output_tokens, first_window),
        extra_units=int("web_search_options" in ask.body),
    )


def content_bound(
    ask: Ask,
    model: str,
    contents: Sequence[tuple[str, list[Any]]],
    *,
    messages: int,
    output: tuple[int, int, bool],
    extra_units: int = 0,
    extra_input: int = 0,
) -> Bound:
    """The bound of a body with these lists of content parts, each with its path for errors;
    ``output`` as from output_bound. Raises ApiError 400."""
    parts = _Parts(model)
    for where, content in contents:
        for part in content:
            _add(parts, part, where)
    text = len(ask.raw) - parts.taken_out
    inputs = text + PER_MESSAGE * messages + PER_REQUEST + parts.tokens + extra_input
    estimate = -(-text // BYTES_PER_TOKEN) + parts.estimate
    most, least, window = output
    return Bound(
        Tokens(input=inputs, audio_input=parts.audio, output=most, extra_units=extra_units),
        least_output=least,
        estimated_input=min(estimate, inputs),
        window=window,
    )


def output_bound(ask: Ask, max_output: int, first_window: int) -> tuple[int, int, bool]:
    """Output tokens at most, the least that may be granted, and whether it is a window.

    With a cap of the client's, all or nothing. Without one, a stream begins with a window that is
    extended while it runs; an answer in one piece may be as long as the model's longest, or
    shorter where only less is affordable.
    """
    if ask.cap is not None:
        return ask.choices * ask.cap, ask.choices * ask.cap, False
    longest = ask.choices * max_output
    least = min(ask.choices * MIN_OUTPUT, longest)
    if ask.stream:
        return min(ask.choices * first_window, longest), least, True
    return longest, least, False


def _add(parts: _Parts, part: object, where: str) -> None:
    if not isinstance(part, dict):
        return
    kind = part.get("type", "text")
    match kind:
        case "image_url" | "input_image" | "computer_screenshot":
            if part.get("file_id"):
                raise _stored_file(where)
            held = part.get("image_url")
            parts.image(held.get("url") if isinstance(held, dict) else held)
        case "input_audio":
            held = part.get("input_audio")
            parts.sound(held.get("data") if isinstance(held, dict) else None)
        case "file" | "input_file":
            _check_file(part, where)
        case _ if kind not in _TEXT_PARTS:
            raise invalid(
                f"The cost of content of type '{str(kind)[:64]}' cannot be bounded, so the "
                "request cannot be held against a budget.",
                param=where,
                code="cannot_price_input",
            )


def _check_file(part: dict[str, Any], where: str) -> None:
    """A file in the body is bounded by its bytes; one that lies elsewhere is not."""
    held = part.get("file", part)
    if isinstance(held, dict) and not isinstance(held.get("file_data"), str):
        raise _stored_file(where)


def _stored_file(where: str) -> ApiError:
    return invalid(
        "Only files sent in the request itself ('file_data', or an image's data URL) can be used: "
        "stored files are shared by everybody behind the gateway.",
        param=where,
        code="cannot_price_input",
    )
