"""Ids: random for things people create, time-ordered for reservations. Those of requests and
reservations need to be unique, not secret: they are drawn without a system call each."""

import random
import secrets
import time
from contextvars import ContextVar
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The digit that tells a UUID's variant, by a random one: two of its bits are."""

current_request: ContextVar[str] = ContextVar("current_request", default="")
"""The id of the HTTP request that is being answered; empty outside of one."""


def new_id(prefix: str) -> str:
    """``org_…``, ``user_…``, ``key_…``: the prefix and 20 random base62 characters (119 bits)."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(20))


def new_reservation_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    begins, chance = _moment(time.time_ns() // 1_000_000), random.randbytes(10).hex()
    return f"{begins}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


def new_request_id() -> str:
    """``req_`` and 32 hex characters, as in ``x-request-id``."""
    return f"req_{random.randbytes(16).hex()}"


@lru_cache(maxsize=2)
def _moment(ms: int) -> str:
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}"
