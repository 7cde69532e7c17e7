"""One job against one target, and the rounds of many."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.bench import traffic
from tests.bench.load import Job
from tests.bench.stage import Target


@dataclass(frozen=True)
class Scenario:
    """A kind of traffic. ``weight`` scales the seconds of a round."""

    name: str
    kind: str
    connections: int
    rate: float = 0.0
    once: bool = False
    warmup: float = 0.3
    weight: float = 1.0
    naive: bool = False
    rounds: int = 0


SCENARIOS = (
    Scenario("json c1", traffic.JSON, 1, naive=True),
    Scenario("json c32", traffic.JSON, 32, naive=True),
    Scenario("json c128", traffic.JSON, 128),
    Scenario("json 20 ms 300/s", traffic.LATE, 32, rate=300),
    Scenario("sse c1", traffic.SSE, 1),
    Scenario("sse c32", traffic.SSE, 32, naive=True),
    Scenario("sse 5 ms c32", traffic.PACED, 32),
    Scenario("slow streams 2000", traffic.SLOW, 2_000, once=True, warmup=4, weight=3, rounds=1),
)


@dataclass
class Result:
    """Medians over the rounds. Times in microseconds; ``cpu`` per request (per stream for
    streams), ``rss`` in MiB, both by role."""

    scenario: str
    target: str
    rps: float = 0.0
    chunks: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    first: float = 0.0
    first_p99: float = 0.0
    delay: float = 0.0
    delay_p99: float = 0.0
    errors: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    rss: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(scenario: Scenario, target: Target, key: str, seconds: float) -> Result:
    """One job. The load driver is a process of its own."""
    job = Job(
        host="127.0.0.1",
        port=target.port,
        key=key,
        kind=scenario.kind,
        connections=scenario.connections,
        seconds=seconds * scenario.weight,
        warmup=scenario.warmup,
        rate=scenario.rate,
        once=scenario.once,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdin and driver.stdout and driver.stderr
        driver.stdin.write(json.dumps(asdict(job)))
        driver.stdin.close()
        before = after = None
        told = []
        for line in driver.stderr:
            if line == "counting\n":
                before = target.cpu_seconds()
            elif line == "counted\n":
                after, rss = target.cpu_seconds(), target.rss_mib()
            else:
                told.append(line)
        output = driver.stdout.read()
    if before is None or after is None or driver.returncode:
        raise RuntimeError(f"the load driver failed on {target.name}:\n{''.join(told)}")
    seen = json.loads(output)
    units = seen["requests"]
    if scenario.kind in traffic.STREAMS:
        units = seen["chunks_per_s"] * seen["seconds"] / (traffic.CHUNKS + 1)
    return Result(
        scenario.name,
        target.name,
        rps=seen["rps"],
        chunks=seen["chunks_per_s"],
        p50=seen["latency_us"]["p50"],
        p99=seen["latency_us"]["p99"],
        first=seen["first_byte_us"]["p50"],
        first_p99=seen["first_byte_us"]["p99"],
        delay=seen["delay_us"]["p50"],
        delay_p99=seen["delay_us"]["p99"],
        errors=seen["errors"],
        refused=seen["refused"],
        cpu={r: (after[r] - before[r]) * 1e6 / max(units, 1) for r in after},
        rss=rss,
    )


def rounds(
    scenarios: Iterable[Scenario],
    targets: list[tuple[Target, str]],
    *,
    count: int,
    seconds: float,
    ends: float,
    say: Callable[[str], None],
) -> list[Result]:
    """Every scenario against every target in turn, ``count`` times over; medians. Stops at the
    monotonic time ``ends`` and says what it left out."""
    found: dict[tuple[str, str], list[Result]] = {}
    for number in range(count):
        for scenario in scenarios:
            if scenario.rounds and number >= scenario.rounds:
                continue
            for target, key in targets:
                if target.name == "naive" and not scenario.naive:
                    continue
                if time.monotonic() > ends:
                    say(f"out of time, left out: {scenario.name} on {target.name}")
                    continue
                result = run(scenario, target, key, seconds)
                found.setdefault((scenario.name, target.name), []).append(result)
                say(
                    f"round {number + 1}/{count}  {scenario.name:<18} {target.name:<8} "
                    f"{result.rps:>9,.0f} req/s  p50 {result.p50:>9,.0f} us  "
                    f"errors {result.errors}"
                )
                for line, times in result.refused.items():
                    say(f"    refused {times} times: {line}")
    return [middle(results) for results in found.values()]


def middle(results: list[Result]) -> Result:
    """The median of each figure."""
    first = results[0]
    made = Result(first.scenario, first.target)
    for name in ("rps", "chunks", "p50", "p99", "first", "first_p99", "delay", "delay_p99"):
        setattr(made, name, median(getattr(r, name) for r in results))
    made.errors = sum(r.errors for r in results)
    made.cpu = {role: median(r.cpu[role] for r in results) for role in first.cpu}
    made.rss = {role: max(r.rss[role] for r in results) for role in first.rss}
    return made
