"""Text without a model: filler, tokens, and values that fit a JSON schema."""

import hashlib
import math
import re
from itertools import pairwise
from random import Random
from typing import Any

BYTES_PER_TOKEN = 4
_DEEPEST = 8

_FILLER = re.findall(
    r"\w+",
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut "
    "labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris "
    "nisi aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse "
    "cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa "
    "qui officia deserunt mollit anim id est laborum",
)


def tokens(text: str) -> int:
    """One token per 4 bytes of UTF-8, rounded up."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def clip(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that is at most ``limit`` tokens."""
    return text.encode()[: limit * BYTES_PER_TOKEN].decode(errors="ignore")


def seeded(*parts: str | int) -> Random:
    """A generator that depends on ``parts`` alone."""
    return Random(hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest())


def lorem(random: Random, words: int) -> str:
    """Filler of ``words`` words in sentences."""
    sentences = []
    while words > 0:
        length = min(words, random.randint(5, 14))
        sentence = " ".join(random.choices(_FILLER, k=length))
        sentences.append(sentence.capitalize() + ".")
        words -= length
    return " ".join(sentences)


def filler(random: Random, count: int) -> str:
    """Filler of exactly ``count`` tokens."""
    return lorem(random, 2 * count)[: count * BYTES_PER_TOKEN]


def pieces(text: str, count: int | None) -> list[str]:
    """``text`` in ``count`` pieces of even length, or word by word as providers send it."""
    if count is None:
        return re.findall(r"\s*\S+|\s+$", text)
    bounds = [len(text) * i // count for i in range(count + 1)]
    return [text[a:b] for a, b in pairwise(bounds)]


def fitting(schema: Any, random: Random, depth: int = 0) -> Any:
    """A value that fits the common parts of a JSON schema."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    variants = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(variants, list) and variants:
        return fitting(variants[0], random, depth + 1)
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "string":
            return random.choice(_FILLER)
        case "integer" | "number":
            return _number(schema, random)
        case "boolean":
            return random.random() < 0.5
        case "array":
            return [fitting(schema.get("items"), random, depth + 1)]
        case "object" | None:
            properties = schema.get("properties")
            members = properties.items() if isinstance(properties, dict) else ()
            return {name: fitting(part, random, depth + 1) for name, part in members}
        case _:
            return None


def _number(schema: dict[str, Any], random: Random) -> int:
    least, most = schema.get("minimum"), schema.get("maximum")
    low = math.ceil(least) if isinstance(least, (int, float)) else None
    high = math.floor(most) if isinstance(most, (int, float)) else None
    if low is None:
        low = 0 if high is None else min(0, high)
    return random.randint(low, max(low, low + 100 if high is None else high))
