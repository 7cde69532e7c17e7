"""Ids: random for things people create, time-ordered for reservations."""

import secrets
import time
import uuid
from contextvars import ContextVar

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


current_request: ContextVar[str] = ContextVar("current_request", default="")
"""The id of the HTTP request that is being answered; empty outside of one."""


def new_id(prefix: str) -> str:
    """``org_…``, ``user_…``, ``key_…``: the prefix and 20 random base62 characters (119 bits)."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(20))


def new_reservation_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def new_request_id() -> str:
    """``req_`` and 32 hex characters, as in ``x-request-id``."""
    return "req_" + secrets.token_hex(16)
