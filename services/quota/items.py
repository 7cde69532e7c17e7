"""The words of the ledger: what is asked of it and what it answers. Pure.

Money is nano-USD, time Unix milliseconds of the KV, a month "2026-11". Nobody changes what was
said; it is not frozen because that takes three times as long to say.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from services.quota.pricing import Bound

LEASE_MS = 30_000
"""A hold outlives its last checkpoint by this much."""

SKEW_MS = 2_000
"""Largest difference between a caller's clock and the KV's."""

KEEP_MS = 60 * 60_000
"""Outcomes are remembered, and settles of unknown reservations accepted, for this long."""

KEEP_LONG_MS = 7 * 24 * 60 * 60_000
"""The same for fail-open requests and expired holds, whose settles may come late."""

SHARES_AHEAD_MS = 6 * 60 * 60_000
"""So long before midnight tomorrow's fail-open shares go out: an outage over midnight that begins
later does not end fail-open. Earlier, they would be those of edges that may be gone by then."""

NOTHING = "0 0 0 0 0 0 0 0"


class Owner(NamedTuple):
    org: str
    user: str
    key: str


@dataclass(slots=True)
class Reserve:
    """Hold the cost of ``output`` tokens, or of fewer down to ``least``."""

    id: str
    fingerprint: str
    owner: Owner
    model: str
    bound: Bound
    output: int
    least: int
    caller_ms: int
    named: str = ""
    operation: str = ""
    request: str = ""
    rated: int = 0
    """Tokens that count for tokens per minute until the real ones are known."""
    tokens: str = NOTHING
    """What is booked if nothing more is heard: the input."""


class Rate(NamedTuple):
    limit: int
    remaining: int
    reset_ms: int


@dataclass(slots=True)
class Granted:
    held: int
    output: int
    month: str
    admit_ms: int
    duplicate: bool
    state: str
    revision: int = 0
    requests: Rate | None = None
    tokens: Rate | None = None


@dataclass(slots=True)
class Refused:
    """Numbers are of ``scope`` in ``month``, spending since the last reset."""

    reason: str
    scope: str = ""
    limit: int = 0
    spent: int = 0
    held: int = 0
    running: int = 0
    affordable: int = 0
    month: str = ""
    retry_ms: int = 0
    rate_kind: str = ""
    rate_limit: int = 0
    revision: int = 0
    requests: Rate | None = None
    tokens: Rate | None = None


@dataclass(slots=True)
class Checkpoint:
    id: str
    owner: Owner
    cost: int
    tokens: str
    want: int = 0
    bound: Bound = field(default=Bound(0, 0))


@dataclass(slots=True)
class Checked:
    """``state`` is empty for an unknown reservation."""

    state: str
    output: int = 0
    held: int = 0
    refused: Refused | None = None


class Lease(NamedTuple):
    """An open hold and when it ends, unless a checkpoint extends it."""

    id: str
    owner: Owner
    end_ms: int


@dataclass(slots=True)
class Settle:
    """``kind``: charge, release or expire."""

    id: str
    kind: str
    owner: Owner
    month: str
    admit_ms: int
    fingerprint: str = ""
    model: str = ""
    operation: str = ""
    cost: int = 0
    tokens: str = NOTHING
    flags: str = ""
    grace: bool = False
    request: str = ""
    held: int = 0


@dataclass(slots=True)
class Settled:
    """``code``: OK, DUP, CONFLICT, OLD, ALIVE, GONE (and MONTH inside the store)."""

    code: str
    state: str
    charged: int
    month: str
