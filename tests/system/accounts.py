"""What was delivered against what was booked: the simulator's log against the journal."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from services.common import keys
from services.quota import entries


@dataclass
class Account:
    """One HTTP request that was admitted. Money is nano-USD."""

    spent: int = 0
    held: int = 0
    requests: int = 0
    kinds: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)


def booked(kv_url: str, org: str) -> dict[str, Account]:
    """The organisation's journal, summed up by request id."""
    accounts: dict[str, Account] = defaultdict(Account)
    with redis.Redis.from_url(kv_url, decode_responses=True, protocol=3) as client:
        stream: Any = client.xrange(keys.journal(org))
        for _, kept in stream:
            entry = entries.fields(kept)
            one = accounts[entry["rq"]]
            one.spent += int(entry["s"])
            one.held += int(entry["h"])
            one.requests += int(entry["n"])
            one.kinds.append(entry["k"])
            one.flags |= set(filter(None, entry["f"].split(",")))
            one.ids.add(entry["id"])
    return dict(accounts)


def open_holds(kv_url: str, org: str) -> int:
    with redis.Redis.from_url(kv_url, decode_responses=True, protocol=3) as client:
        held: Any = client.zcard(keys.holds(org))
        return int(held)


def witnessed(log: Path) -> dict[str, list[dict[str, Any]]]:
    """What the provider saw of each request, by request id: its last line each."""
    serials: dict[int, dict[str, Any]] = {}
    if log.exists():
        for line in log.read_text().splitlines():
            record = json.loads(line)
            serials[record["serial"]] = record
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in serials.values():
        found[record["request_id"]].append(record)
    return dict(found)
