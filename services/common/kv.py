"""The KV: one pool with bounded waits, and one translation of its failures.

redis-py waits for seconds and retries behind the caller's back unless told otherwise; here every
command ends within ``timeout_ms`` and is never repeated without its caller knowing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.exceptions as failures
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.errors import Internal, Unavailable
from services.common.settings import SettingsError

Kv = Redis | RedisCluster

_NOT_NOW_PREFIXES = ("NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "LOADING")
_NOT_NOW = (
    failures.OutOfMemoryError,
    failures.ReadOnlyError,
    failures.ClusterDownError,
    failures.TryAgainError,
    failures.AskError,
    failures.NoPermissionError,
)


class KvUnfit(SettingsError):
    """One line for a person: why this KV must not hold money."""


def open_kv(url: str, *, timeout_ms: int, connections: int, cluster: bool = False) -> Kv:
    """A client for ``redis://``, ``rediss://`` or ``unix://`` URLs. Callers wait for a free
    connection at most ``timeout_ms``, then the KV counts as unavailable."""
    timeout = timeout_ms / 1000
    bounds: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "decode_responses": True,
        "health_check_interval": 0,
    }
    if cluster:
        bounds["retry"] = Retry(NoBackoff(), 1)
        first = url.split(",", 1)[0]
        client: RedisCluster = RedisCluster.from_url(
            first, max_connections=connections * 4, **bounds
        )
        return client
    options = {**parse_url(url), **bounds}
    pool = BlockingConnectionPool(max_connections=connections, timeout=timeout, **options)
    return Redis.from_pool(pool)


@contextmanager
def kv_errors() -> Iterator[None]:
    """Turn redis-py's exceptions into ours. A reply that means "not now" is Unavailable; any other
    error reply is a bug of ours and Internal."""
    try:
        yield
    except failures.ResponseError as error:
        if isinstance(error, _NOT_NOW) or str(error).startswith(_NOT_NOW_PREFIXES):
            raise Unavailable("the KV cannot serve at the moment") from error
        raise Internal("the KV refused a command") from error
    except (failures.RedisError, failures.RedisClusterException, OSError) as error:
        raise Unavailable("the KV does not answer") from error


async def require_fit(kv: Kv, *, unsafe: bool) -> list[str]:
    """Warnings about the KV; raises KvUnfit for what would lose money (evicting, not persistent,
    too old), unless ``unsafe``."""
    info = await kv.info(target_nodes=RedisCluster.PRIMARIES) if is_cluster(kv) else await kv.info()
    facts = next(iter(info.values())) if is_cluster(kv) else info
    problems: list[str] = []
    warnings: list[str] = []
    version = str(facts.get("valkey_version") or facts.get("redis_version") or "0")
    if not recent_enough(version, valkey="valkey_version" in facts):
        problems.append(f"version {version} has known holes or lacks what we need")
    policy = str(facts.get("maxmemory_policy", "unknown"))
    if policy != "noeviction" and int(facts.get("maxmemory", 0)) > 0:
        problems.append(f"maxmemory-policy is {policy}; an evicted key is an unlimited budget")
    elif policy not in ("noeviction", "unknown"):
        warnings.append(f"maxmemory-policy is {policy}; set noeviction before setting maxmemory")
    if not int(facts.get("aof_enabled", 0)):
        problems.append("appendonly is off; a restart would forget what was spent")
    if problems and not unsafe:
        raise KvUnfit("; ".join(problems) + ". Set GATEWAY_KV_UNSAFE=true to run all the same")
    return warnings + [f"unsafe KV: {problem}" for problem in problems]


def is_cluster(kv: Kv) -> bool:
    return isinstance(kv, RedisCluster)


def recent_enough(version: str, *, valkey: bool) -> bool:
    """Floors for CVE-2025-49844 (Lua use-after-free) by release line."""
    parts = tuple(int(p) for p in re.findall(r"\d+", version)[:3])
    line = (parts[0], parts[1]) if len(parts) > 1 else (0, 0)
    floors = (
        {(7, 2): (7, 2, 11), (8, 0): (8, 0, 6), (8, 1): (8, 1, 4)}
        if valkey
        else {(6, 2): (6, 2, 20), (7, 2): (7, 2, 11), (7, 4): (7, 4, 6), (8, 0): (8, 0, 4)}
    )
    floor = floors.get(line)
    if floor is not None:
        return parts >= floor
    return parts >= ((8, 1, 4) if valkey else (8, 2, 2))
