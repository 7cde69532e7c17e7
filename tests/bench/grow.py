"""What changes with time, with processes and with data."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import Any

import redis

from services.common import keys
from tests.bench import measure, stage, traffic
from tests.bench.report import GATEWAY

Say = Callable[[str], None]

_GROWTH = 1.10
_SLACK_MIB = 8.0
"""A soak is flat when the last third uses at most a tenth more than the middle one, and 8 MiB."""

_COST_GROWTH = 1.35
"""With 100,000 times the data a request may cost this much more CPU."""


def soak(*, minutes: float, say: Say) -> dict[str, Any]:
    """Mixed load; resident memory by process must not grow. The KV is shown, not judged: its
    journal grows by design."""
    mixed = [
        measure.Scenario("json", traffic.JSON, 32),
        measure.Scenario("sse", traffic.SSE, 32),
        measure.Scenario("paced", traffic.PACED, 64),
    ]
    samples: list[dict[str, float]] = []
    errors = requests = 0
    with ExitStack() as stack:
        upstream = stack.enter_context(stage.mock())
        gateway = stack.enter_context(stage.gateway(upstream))
        ends = time.monotonic() + minutes * 60
        while time.monotonic() < ends or len(samples) < 9:
            for scenario in mixed:
                result = measure.run(scenario, gateway.target, gateway.key, 3.0)
                errors += result.errors
                requests += int(result.rps * 3)
            samples.append(gateway.target.rss_mib())
            told = ", ".join(f"{role} {mib:,.1f}" for role, mib in samples[-1].items())
            say(f"{requests:>10,} requests, {errors} errors, RSS MiB: {told}")
    third = len(samples) // 3
    thirds = {
        role: [median(s[role] for s in samples[n * third : (n + 1) * third]) for n in range(3)]
        for role in GATEWAY
    }
    well = errors == 0
    for role, (_, middle, last) in thirds.items():
        flat = last <= max(middle * _GROWTH, middle + _SLACK_MIB)
        say(f"{role}: {' -> '.join(f'{mib:,.1f}' for mib in thirds[role])} MiB by thirds")
        well = well and (flat or role == "kv")
    return {"samples": samples, "thirds": thirds, "errors": errors, "well": well}


def scale(*, seconds: float, quick: bool, say: Say) -> dict[str, Any]:
    """More processes, then more data."""
    shapes = [(1, 1), (2, 1), (2, 2)] if quick else [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)]
    scenario = measure.Scenario("json c64", traffic.JSON, 64)
    found: dict[str, Any] = {"shapes": [], "data": []}
    with stage.mock() as upstream:
        for edges, quotas in shapes:
            with stage.gateway(upstream, edges=edges, quotas=quotas) as gateway:
                result = over_all_edges(scenario, gateway, seconds)
                say(
                    f"{edges} edges, {quotas} quotas: {result['rps']:,.0f} req/s, "
                    f"{result['cpu']:,.0f} us of CPU per request"
                )
                found["shapes"].append({"edges": edges, "quotas": quotas, **result})
        with stage.gateway(upstream) as gateway:
            steps = (10, 1_000, 10_000) if quick else (10, 1_000, 10_000, 100_000)
            for size in steps:
                fill(gateway, size)
                result = over_all_edges(scenario, gateway, seconds)
                say(
                    f"{size:,} organisations, keys, holds, journal entries: "
                    f"{result['rps']:,.0f} req/s, {result['cpu']:,.0f} us of CPU per request"
                )
                found["data"].append({"size": size, **result})
    costs = [step["cpu"] for step in found["data"]]
    found["well"] = costs[-1] <= costs[0] * _COST_GROWTH
    say(f"cost with the most data is {costs[-1] / costs[0]:.2f} of that with the least")
    return found


def over_all_edges(
    scenario: measure.Scenario, gateway: stage.Gateway, seconds: float
) -> dict[str, float]:
    """One load driver for each edge, all at once."""
    ports = [int(edge.address.rpartition(":")[2]) for edge in gateway.fleet.edges]
    targets = [stage.Target("gateway", port, gateway.target.pids) for port in ports]
    part = replace(scenario, connections=scenario.connections // len(ports))
    with ThreadPoolExecutor(len(ports)) as pool:
        results = list(pool.map(lambda t: measure.run(part, t, gateway.key, seconds), targets))
    rps = sum(r.rps for r in results)
    return {
        "rps": rps,
        "cpu": sum(results[0].cpu.values()) * results[0].rps / rps,
        "errors": sum(r.errors for r in results),
    }


def fill(gateway: stage.Gateway, size: int) -> None:
    """Bring the store to ``size`` organisations with a user and a key each, and the organisation
    that pays to ``size`` running reservations and journal entries."""
    month = time.strftime("%Y-%m", time.gmtime())
    later = int(time.time() * 1_000) + 86_400_000
    ours = gateway.org
    with redis.Redis.from_url(gateway.fleet.kv_url, protocol=3, socket_timeout=60) as kv:
        have = int(kv.zcard(keys.ORGS))
        for start in range(have, size, 1_000):
            pipe = kv.pipeline(transaction=False)
            for number in range(start, min(start + 1_000, size)):
                org, user, key = f"org_fill{number}", f"user_fill{number}", f"key_fill{number}"
                pipe.zadd(keys.ORGS, {org: 0})
                pipe.hset(keys.org_config(org), mapping={"name": "f", "status": "active"})
                pipe.hset(keys.user_config(org, user), mapping={"status": "active"})
                pipe.hset(keys.key_config(org, key), mapping={"status": "active", "user": user})
                digest = f"{number:064x}"
                pipe.hset(keys.api_key(digest), mapping={"org": org, "user": user, "key": key})
                pipe.hset(keys.org_quota(org), mapping={f"{month}:spent": 1})
                hold = f"fill-{number}"
                pipe.set(
                    keys.hold(ours, hold), "\t".join(("reserved", "f", gateway.user, "fill", month))
                )
                pipe.zadd(keys.holds(ours), {f"{hold} {gateway.user} fill": later})
                pipe.xadd(keys.journal(ours), {"e": f"fill\t{hold}\t{gateway.user}\tfill\t{month}"})
            pipe.execute()
