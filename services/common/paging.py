"""Pages: sizes within bounds, tokens that say where the next page begins."""

import base64
import binascii

from services.common.errors import InvalidField

DEFAULT_SIZE = 50
MAX_SIZE = 1_000


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
