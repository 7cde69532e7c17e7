"""What the scripts are asked: the KEYS and ARGV that their first lines tell. Pure."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from services.common import keys
from services.quota.items import (
    KEEP_LONG_MS,
    KEEP_MS,
    LEASE_MS,
    SKEW_MS,
    Checkpoint,
    Owner,
    Reserve,
    Settle,
)
from services.quota.months import month_of
from services.quota.pricing import PICO_PER_NANO, Bound, to_nano

_RESERVE = struct.Struct("<9d").pack
_SETTLE = struct.Struct("<7d").pack
_FRONT = struct.Struct("<7d").pack
"""All of a question is one argument, numbers as doubles, texts with a zero behind: the KV reads it
at a fraction of what an argument for each costs."""

_REMEMBERED = 10_000
"""The same owners ask again and again: what their keys are called need not be spelled anew."""

_TIMES = (KEEP_MS, KEEP_LONG_MS, LEASE_MS, SKEW_MS)
_KINDS = {"charge": 1, "release": 2, "expire": 3}

Question = tuple[list[str], list[Any]]
"""KEYS and ARGV: texts, whole numbers and packed ones."""


def exchange(org: str, settles: Sequence[Settle], asks: Sequence[Reserve]) -> Question:
    """Of settle and reserve, too, where the other is empty."""
    owners: dict[Owner, int] = {}
    months: dict[str, int] = {}
    settled = _packed_settles(settles, owners, months)
    asked = _packed_reserves(asks, owners)
    names, texts = [*_shared_names(org)], ""
    for payer in owners:
        names += _owner_names(payer)
        texts += f"{payer.user}\0{payer.key}\0"
    for name in months:
        names += _month_names(org, name)
        texts += f"{name}\0"
    hold = keys.hold(org, "")
    names += [hold + item.id for item in settles]
    names += [hold + item.id for item in asks]
    front = _FRONT(*_TIMES, len(owners), len(months), len(settles))
    return names, [b"".join((front, texts.encode(), *settled, *asked))]


def _packed_settles(
    items: Sequence[Settle], owners: dict[Owner, int], months: dict[str, int]
) -> list[bytes]:
    packed: list[bytes] = []
    for item in items:
        owner = owners.get(item.owner) or owners.setdefault(item.owner, len(owners) + 1)
        name = item.month or month_of(item.admit_ms)
        month = months.get(name) or months.setdefault(name, len(months) + 1)
        packed += (
            _SETTLE(
                _KINDS[item.kind], owner, month, item.admit_ms, item.cost, item.grace, item.held
            ),
            (
                f"{item.id}\0{item.fingerprint}\0{item.model}\0{item.operation}\0{item.tokens}\0"
                f"{item.flags}\0{item.request}\0"
            ).encode(),
        )
    return packed


def _packed_reserves(items: Sequence[Reserve], owners: dict[Owner, int]) -> list[bytes]:
    packed: list[bytes] = []
    for item in items:
        owner = owners.get(item.owner) or owners.setdefault(item.owner, len(owners) + 1)
        fixed, output = item.bound
        packed += (
            _RESERVE(
                owner,
                item.caller_ms,
                item.output,
                item.least,
                fixed // PICO_PER_NANO,
                fixed % PICO_PER_NANO,
                output // PICO_PER_NANO,
                output % PICO_PER_NANO,
                item.rated,
            ),
            (
                f"{item.id}\0{item.fingerprint}\0{item.model}\0{item.named}\0{item.operation}\0"
                f"{item.request}\0{item.tokens}\0{to_nano(fixed)}\0"
                f"{item.rated}\t{item.model}\t{item.operation}\t{item.request}\0"
            ).encode(),
        )
    return packed


def checkpoint(org: str, items: Sequence[Checkpoint]) -> Question:
    names = [*_shared_names(org)]
    args: list[Any] = [LEASE_MS]
    for item in items:
        names += [*_owner_names(item.owner), keys.hold(org, item.id)]
        args += [item.id, item.owner.user, item.owner.key, item.cost, item.tokens, item.want]
        args += _priced(item.bound)
    return names, args


@lru_cache(_REMEMBERED)
def _shared_names(org: str) -> tuple[str, ...]:
    return (keys.org_config(org), keys.org_quota(org), keys.holds(org), keys.journal(org))


@lru_cache(_REMEMBERED)
def _owner_names(owner: Owner) -> tuple[str, ...]:
    """Configuration and counters of the user, then of the key."""
    return (
        keys.user_config(owner.org, owner.user),
        keys.user_quota(owner.org, owner.user),
        keys.key_config(owner.org, owner.key),
        keys.key_quota(owner.org, owner.key),
    )


@lru_cache(_REMEMBERED)
def _month_names(org: str, month: str) -> tuple[str, ...]:
    return (
        keys.usage_records(org, month),
        keys.rank_by_cost(org, month),
        keys.rank_by_requests(org, month),
        keys.usage_index(org, month),
    )


def _priced(bound: Bound) -> list[int]:
    """Nano-USD with a rest in pico-USD: Lua's doubles cannot hold large amounts of pico-USD."""
    return [*divmod(bound.fixed, PICO_PER_NANO), *divmod(bound.output, PICO_PER_NANO)]
