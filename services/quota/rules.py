"""Words and arithmetic of the reference model. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.quota import items
from services.quota.items import Owner, Rate, Refused
from services.quota.pricing import PICO_PER_NANO, Bound

_MINUTE_MS = 60_000

Name = tuple[str, ...]
"""A scope: ("key", org, key), ("user", org, user) or ("org", org)."""


@dataclass
class Config:
    """A missing one is deleted. None does not limit."""

    status: str = "active"
    limit: int | None = None
    models: str = ""
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    expires: int | None = None
    revision: int = 0


@dataclass
class Bucket:
    """``used`` in sixty-thousandths of a unit; leaks ``limit`` units a minute."""

    used: int = 0
    at: int = 0

    def level(self, limit: int, now: int) -> int:
        return max(0, self.used - max(0, now - self.at) * limit)


@dataclass
class Hold:
    owner: Owner
    fingerprint: str
    model: str
    month: str
    admit_ms: int
    state: str = "reserved"
    held: int = 0
    output: int = 0
    cost: int = 0
    tokens: str = items.NOTHING
    rated: int = 0
    end_ms: int = 0
    charged: int = 0
    forget_ms: int | None = None


@dataclass(frozen=True)
class Step:
    """A journal entry."""

    kind: str
    id: str
    month: str
    model: str
    spent: int = 0
    held: int = 0
    requests: int = 0
    tokens: str = ""
    flags: str = ""


class Buckets:
    """Requests and tokens per minute, and concurrent requests, of every scope."""

    def __init__(self, configs: Mapping[Name, Config]) -> None:
        self._configs = configs
        self._buckets: dict[tuple[Name, str], Bucket] = {}

    def refuse(
        self, scopes: Sequence[Name], asked: Mapping[str, int], running: Sequence[int], now: int
    ) -> Refused | None:
        """The first rate without room. What is larger than a minute waits for an empty bucket."""
        for scope, count in zip(scopes, running, strict=True):
            for kind, limit in self._limits(scope):
                over = self._level(scope, kind, limit, now)
                over += (min(asked[kind], limit) - limit) * _MINUTE_MS
                if over > 0 or limit == 0:
                    retry = -(-over // limit) if limit else 0
                    return Refused(
                        "RATE_LIMITED", scope[0], retry_ms=retry, rate_kind=kind, rate_limit=limit
                    )
            most_at_once = self._configs[scope].concurrency
            if most_at_once is not None and count >= most_at_once:
                retry = 1_000 if most_at_once else 0
                return Refused(
                    "RATE_LIMITED",
                    scope[0],
                    retry_ms=retry,
                    rate_kind="concurrency",
                    rate_limit=most_at_once,
                )
        return None

    def pour(self, scopes: Sequence[Name], asked: Mapping[str, int], now: int) -> None:
        for scope in scopes:
            for kind, limit in self._limits(scope):
                level = self._level(scope, kind, limit, now)
                old = self._buckets.get((scope, kind), Bucket(0, now))
                added = Bucket(level + asked[kind] * _MINUTE_MS, max(now, old.at))
                self._buckets[scope, kind] = added

    def correct(self, scopes: Sequence[Name], rated: int, tokens: str) -> None:
        """Puts the tokens really used in place of those counted at admission."""
        used = [int(n) for n in tokens.split()]
        for scope in scopes:
            bucket = self._buckets.get((scope, "tokens"))
            if bucket and rated:
                bucket.used = max(0, bucket.used + (used[0] + used[4] - rated) * _MINUTE_MS)

    def status(self, scopes: Sequence[Name], now: int) -> dict[str, Rate | None]:
        """The tightest limit of each kind."""
        found: dict[str, Rate | None] = {"requests": None, "tokens": None}
        for scope in scopes:
            for kind, limit in self._limits(scope):
                level = self._level(scope, kind, limit, now)
                remaining = max(0, (limit * _MINUTE_MS - level) // _MINUTE_MS)
                rate = Rate(limit, remaining, -(-level // limit) if limit else 0)
                tightest = found[kind]
                if tightest is None or remaining < tightest.remaining:
                    found[kind] = rate
        return found

    def _limits(self, scope: Name) -> list[tuple[str, int]]:
        config = self._configs[scope]
        limits = (("requests", config.rpm), ("tokens", config.tpm))
        return [(kind, limit) for kind, limit in limits if limit is not None]

    def _level(self, scope: Name, kind: str, limit: int, now: int) -> int:
        return self._buckets.get((scope, kind), Bucket(0, now)).level(limit, now)


def names(owner: Owner) -> list[Name]:
    return [("key", owner.org, owner.key), ("user", owner.org, owner.user), ("org", owner.org)]


def allows(pattern: str, name: str) -> bool:
    """Whether a pattern, in which only * is special, matches all of ``name``."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def most(bound: Bound, left: int | None, want: int) -> int:
    """The most output tokens up to ``want`` that ``left`` pays for; -1 when not even none."""
    if left is None or bound.nano(want) <= left:
        return want
    if bound.nano(0) > left:
        return -1
    return min(want, (left * PICO_PER_NANO - bound.fixed) // bound.output)


def minus(after: str, before: str) -> str:
    """The difference of two token counts."""
    pairs = zip(after.split(), before.split(), strict=True)
    return " ".join(str(int(a) - int(b)) for a, b in pairs)
