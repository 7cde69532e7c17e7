"""What may be written: each rule answers with the value to store or raises ValueError with a
sentence that completes "<field> …"."""

import re

from services.common.money import MAX_NANO_USD, MAX_USD

MAX_NAME = 200
MAX_MODELS = 256
MAX_RATE = 10**12
MAX_OVERLAP_SECONDS = 30 * 86_400

_EMAIL = re.compile(r"[^\s@<>(),;:\"\\\[\]]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_]{2,63}")
_MODEL = re.compile(r"[!-~]{1,200}")
_PROVIDER = re.compile(r"[a-z0-9_-]{1,64}")
_CREDENTIAL = re.compile(r"[!-~]{1,8192}")


def name(text: str, *, required: bool = True, longest: int = MAX_NAME) -> str:
    """Trimmed; printable."""
    clean = text.strip()
    if required and not clean:
        raise ValueError(f"is required: 1 to {longest} characters")
    if len(clean) > longest:
        raise ValueError(f"must be at most {longest} characters")
    if not clean.isprintable():
        raise ValueError("must not contain control characters")
    return clean


def email(text: str) -> str:
    if not text:
        raise ValueError("is required")
    if len(text) > 254 or not _EMAIL.fullmatch(text) or ".." in text:
        raise ValueError("must be an e-mail address, for example ada@example.com")
    return text


def amount(nano: int) -> int:
    if nano < 0:
        raise ValueError("must not be negative")
    if nano > MAX_NANO_USD:
        raise ValueError(f"must be at most {MAX_NANO_USD} nano-USD ({MAX_USD} USD)")
    return nano


def rate(number: int) -> int:
    if number < 0:
        raise ValueError("must not be negative")
    if number > MAX_RATE:
        raise ValueError(f"must be at most {MAX_RATE}")
    return number


def models(patterns: list[str]) -> tuple[str, ...]:
    """In the order given, each once."""
    if len(patterns) > MAX_MODELS:
        raise ValueError(f"must be at most {MAX_MODELS} models")
    for pattern in patterns:
        if not _MODEL.fullmatch(pattern):
            raise ValueError(
                "must hold model ids or patterns with `*`, 1 to 200 characters without spaces, "
                "for example openai/gpt-5*"
            )
    return tuple(dict.fromkeys(patterns))


def expiry(milliseconds: int, now: int) -> int:
    if milliseconds <= now:
        raise ValueError("must be in the future")
    return milliseconds


def overlap(seconds: int) -> int:
    if not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        raise ValueError(f"must be between 0 and {MAX_OVERLAP_SECONDS} (30 days)")
    return seconds


def provider(text: str) -> str:
    if not _PROVIDER.fullmatch(text):
        raise ValueError("must be 1 to 64 of a-z, 0-9, `-`, `_`: a provider of the catalog")
    return text


def credential(text: str) -> str:
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("must be 1 to 8192 printable ASCII characters without spaces")
    return text
