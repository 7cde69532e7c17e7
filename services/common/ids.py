"""Ids: random for things people create, time-ordered for reservations. Those of requests and
reservations need to be unique, not secret: they are drawn without a system call each."""

import random
import secrets
import time
from contextvars import ContextVar

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


current_request: ContextVar[str] = ContextVar("current_request", default="")
"""The id of the HTTP request that is being answered; empty outside of one."""


def new_id(prefix: str) -> str:
    """``org_…``, ``user_…``, ``key_…``: the prefix and 20 random base62 characters (119 bits)."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(20))


def new_reservation_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    when, random_bits = time.time_ns() // 1_000_000, random.getrandbits
    a, variant_b, c = random_bits(12), 0x8000 | random_bits(14), random_bits(48)
    return f"{when >> 16:08x}-{when & 0xFFFF:04x}-7{a:03x}-{variant_b:04x}-{c:012x}"


def new_request_id() -> str:
    """``req_`` and 32 hex characters, as in ``x-request-id``."""
    return f"req_{random.getrandbits(128):032x}"
