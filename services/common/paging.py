"""Pages: sizes within bounds, tokens that say where the next page begins."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.common.errors import InvalidField

DEFAULT_SIZE = 50
MAX_SIZE = 1_000

T = TypeVar("T")

Listed = tuple[str, T | None]
"""A place in a list, and what is shown there: None for what is passed over."""

_ROUNDS = 10
_AT_LEAST = 100


def page_size(asked: int, *, default: int = DEFAULT_SIZE, maximum: int = MAX_SIZE) -> int:
    """0 means ``default``, more than ``maximum`` means ``maximum``. Raises InvalidField when
    negative."""
    if asked < 0:
        raise InvalidField("page_size", "must not be negative")
    return min(asked or default, maximum)


def encode_token(position: str) -> str:
    """A token for the page after ``position``; empty for an empty position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_token(token: str) -> str:
    """The position inside a token. Raises InvalidField for what is not one of ours."""
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidField("page_token", "is not a token of this list") from None


async def page(
    size: int, token: str, fetch: Callable[[str, int], Awaitable[list[Listed[T]]]]
) -> tuple[list[T], str]:
    """One page of a list, and the token of the next. ``fetch(position, count)`` gives up to
    ``count`` places after ``position``, fewer only at the end. The work is bounded, so a page may
    stay short where much is passed over."""
    wanted = page_size(size)
    position = decode_token(token)
    found: list[T] = []
    for _ in range(_ROUNDS):
        count = max(wanted + 1 - len(found), _AT_LEAST)
        places = await fetch(position, count)
        for place, shown in places:
            if shown is not None and len(found) == wanted:
                return found, encode_token(position)
            if shown is not None:
                found.append(shown)
            position = place
        if len(places) < count:
            return found, ""
    return found, encode_token(position)
