"""The KV: one pool with bounded waits, and one translation of its failures.

redis-py waits for seconds and retries behind the caller's back unless told otherwise; here every
command ends within ``timeout_ms`` and is never repeated without its caller knowing.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis.exceptions as failures
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.channel import is_local
from services.common.errors import GatewayError, Internal, Unavailable
from services.common.kv_cluster import ClusterKv
from services.common.kv_pool import Pool
from services.common.kv_sentinel import SentinelKv
from services.common.kv_wire import PACKED
from services.common.settings import SettingsError

Kv = Redis

_START_SECONDS = 30.0
_NOT_NOW_PREFIXES = ("NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "LOADING")
_NOT_NOW = (
    failures.OutOfMemoryError,
    failures.ReadOnlyError,
    failures.ClusterDownError,
    failures.TryAgainError,
    failures.MovedError,
    failures.AskError,
    failures.NoPermissionError,
)
FAILURES = (failures.RedisError, failures.RedisClusterException, OSError)
"""What a client of the KV raises."""


class KvUnfit(SettingsError):
    """One line for a person: why this KV must not hold money."""


def open_kv(url: str, *, timeout_ms: int, connections: int, cluster: bool = False) -> Kv:
    """A client for one of

    - ``redis://``, ``rediss://`` (TLS) or ``unix://``: one server;
    - the same with ``cluster``: a cluster, found through any of ``host:port,host:port…``;
    - ``redis+sentinel://…host:port,host:port/name`` (``rediss+sentinel://``): the primary that
      Sentinel names.

    Callers wait for a free connection to a node at most ``timeout_ms``, then the KV counts as
    unavailable. Raises KvUnfit for a URL that cannot be understood."""
    timeout = timeout_ms / 1000
    bounds: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "decode_responses": True,
        "health_check_interval": 0,
    }
    hosts, name, options = _understood(url)
    options |= bounds
    if name:
        return SentinelKv(hosts, name, options, connections=connections, timeout=timeout)
    options["connection_class"] = PACKED[options.get("connection_class", Connection)]
    if cluster:
        return ClusterKv(hosts, options, connections=connections, timeout=timeout)
    pool = Pool(max_connections=connections, timeout=timeout, **options)
    return Redis.from_pool(pool)


def _understood(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """The hosts of a URL, the name Sentinel knows them by, and redis-py's options."""
    parts = urlsplit(url)
    scheme, _, sentinel = parts.scheme.partition("+")
    login, at, places = parts.netloc.rpartition("@")
    port = 26_379 if sentinel else 6_379
    try:
        hosts = [
            (found.hostname or "localhost", found.port or port)
            for found in (urlsplit(f"//{place.strip()}") for place in places.split(","))
        ]
        name, _, database = parts.path.strip("/").partition("/") if sentinel else ("", "", "")
        path = f"/{database}" if sentinel else parts.path
        first = places.split(",")[0]
        one = urlunsplit((scheme, login + at + first, path, parts.query, ""))
        options = dict(parse_url(one))
    except ValueError as error:
        raise KvUnfit(f"REDIS_URL cannot be understood: {error}") from None
    if sentinel and not (sentinel == "sentinel" and name):
        raise KvUnfit("REDIS_URL for Sentinel is redis+sentinel://host:26379,host:26379/name")
    return hosts, name, options


def ours(error: Exception) -> GatewayError:
    """What one of FAILURES is to us. A reply that means "not now" is Unavailable; any other error
    reply is a bug of ours and Internal."""
    if not isinstance(error, failures.ResponseError):
        return Unavailable("the KV does not answer")
    if isinstance(error, _NOT_NOW) or str(error).startswith(_NOT_NOW_PREFIXES):
        return Unavailable("the KV cannot serve at the moment")
    return Internal("the KV refused a command")


@contextmanager
def kv_errors() -> Iterator[None]:
    """Turn redis-py's exceptions into ours."""
    try:
        yield
    except FAILURES as error:
        raise ours(error) from error


async def require_fit(kv: Kv, *, unsafe: bool) -> list[str]:
    """Warnings about the KV; raises KvUnfit for what would lose money or give it away (evicting,
    not persistent, too old, open to the network), unless ``unsafe``."""
    problems, warnings = _reachable(kv.connection_pool)
    for told in await _introduced(kv):
        found, doubtful = _facts(told)
        problems += found
        warnings += doubtful
    problems, warnings = list(dict.fromkeys(problems)), list(dict.fromkeys(warnings))
    if problems and not unsafe:
        raise KvUnfit("; ".join(problems) + ". Set GATEWAY_KV_UNSAFE=true to run all the same")
    return warnings + [f"unsafe KV: {problem}" for problem in problems]


async def _introduced(kv: Kv) -> list[dict[str, Any]]:
    """What each node tells of itself. The KV may be starting, too, or be busy with its load. Raises
    KvUnfit where it does not answer for long."""
    ends = time.monotonic() + _START_SECONDS
    while True:
        try:
            nodes = list((await kv.primaries()).values()) if isinstance(kv, ClusterKv) else [kv]
            return [await node.info() for node in nodes]
        except (failures.AuthenticationError, failures.AuthorizationError):
            raise
        except (failures.ConnectionError, failures.TimeoutError, OSError) as error:
            if time.monotonic() > ends:
                raise KvUnfit(f"the KV does not answer: {error}") from error
        await asyncio.sleep(0.1)


def _reachable(pool: ConnectionPool) -> tuple[list[str], list[str]]:
    """Problems and warnings about the way to the KV."""
    options = pool.connection_kwargs
    if "path" in options or is_local(f"{options.get('host', 'localhost')}:0"):
        return [], []
    problems = [] if options.get("password") else ["it is on the network without a password"]
    encrypted = issubclass(pool.connection_class, SSLConnection)
    return problems, [] if encrypted else ["the way to it is not encrypted; use rediss://"]


def _facts(info: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and warnings about one server, by its INFO."""
    problems: list[str] = []
    warnings: list[str] = []
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    if not recent_enough(version, valkey="valkey_version" in info):
        problems.append(f"version {version} has known holes or lacks what we need")
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy != "noeviction" and int(info.get("maxmemory", 0)) > 0:
        problems.append(f"maxmemory-policy is {policy}; an evicted key is an unlimited budget")
    elif policy not in ("noeviction", "unknown"):
        warnings.append(f"maxmemory-policy is {policy}; set noeviction before setting maxmemory")
    if not int(info.get("aof_enabled", 0)):
        problems.append("appendonly is off; a restart would forget what was spent")
    return problems, warnings


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
