"""The table, and the bars."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.measure import Result

GATEWAY = ("edge", "auth", "quota", "kv")
Found = dict[tuple[str, str], Result]


@dataclass(frozen=True)
class Bar:
    """``value`` may need targets that are not there; then it is not judged."""

    name: str
    value: Callable[[Found], float]
    limit: float
    unit: str
    most: bool = False

    def judge(self, found: Found) -> tuple[str, bool | None]:
        try:
            value = self.value(found)
        except KeyError as missing:
            return f"not judged: {missing.args[0]} was not measured", None
        met = value <= self.limit if self.most else value >= self.limit
        sign = "<=" if self.most else ">="
        return f"{value:,.2f} {self.unit} ({sign} {self.limit:g})", met


def _cpu(found: Found) -> float:
    return sum(found["json c32", "gateway"].cpu[role] for role in GATEWAY)


BARS = (
    Bar(
        "times the naive gateway, JSON, 32 connections",
        lambda f: f["json c32", "gateway"].rps / f["json c32", "naive"].rps,
        20,
        "x",
    ),
    Bar("CPU per request of edge, auth, quota and KV, 32 connections", _cpu, 200, "us", most=True),
    Bar(
        "added p50, JSON, 1 connection",
        lambda f: f["json c1", "gateway"].p50 - f["json c1", "direct"].p50,
        700,
        "us",
        most=True,
    ),
    Bar(
        "chunk rate as a part of nginx's, 32 connections",
        lambda f: f["sse c32", "gateway"].chunks / f["sse c32", "nginx"].chunks,
        0.6,
        "x",
    ),
    Bar(
        "added time to first byte of a stream, 1 connection",
        lambda f: f["sse c1", "gateway"].first - f["sse c1", "direct"].first,
        1_000,
        "us",
        most=True,
    ),
    Bar(
        "failed requests of the gateway",
        lambda f: sum(r.errors for (_, name), r in f.items() if name == "gateway"),
        0,
        "",
        most=True,
    ),
)


def index(results: list[Result]) -> Found:
    return {(r.scenario, r.target): r for r in results}


def table(results: list[Result]) -> str:
    """One line per scenario and target."""
    found = index(results)
    lines = [
        "| scenario | target | req/s | chunks/s | p50 us | p99 us | added p50 | first byte p50 us "
        "| chunk delay p50/p99 us | CPU us: edge auth quota kv | RSS MiB | errors |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(r.scenario for r in results):
        for r in (r for r in results if r.scenario == name):
            direct = found.get((name, "direct"))
            added = f"{r.p50 - direct.p50:,.0f}" if direct and r.target != "direct" else ""
            chunks = f"{r.chunks:,.0f}" if r.chunks else ""
            delay = f"{r.delay:,.0f} / {r.delay_p99:,.0f}" if r.delay else ""
            lines.append(
                f"| {name} | {r.target} | {r.rps:,.0f} | {chunks} | {r.p50:,.0f} | {r.p99:,.0f} "
                f"| {added} | {r.first:,.0f} | {delay} | {_cpus(r)} | {_sizes(r)} | {r.errors} |"
            )
    return "\n".join(lines)


def _cpus(result: Result) -> str:
    shown = {r: us for r, us in result.cpu.items() if r != "mock"}
    if not shown:
        return ""
    parts = " + ".join(f"{us:,.0f}" for us in shown.values())
    return f"{parts} = {sum(shown.values()):,.0f}" if len(shown) > 1 else parts


def _sizes(result: Result) -> str:
    return " + ".join(f"{mib:,.0f}" for role, mib in result.rss.items() if role != "mock")


def bars(results: list[Result]) -> tuple[str, bool]:
    """A line per bar, and whether none was missed."""
    found = index(results)
    lines, well = [], True
    for bar in BARS:
        told, met = bar.judge(found)
        well = well and met is not False
        word = {True: "met", False: "MISSED", None: "-"}[met]
        lines.append(f"{word:<7} {bar.name}: {told}")
    return "\n".join(lines), well
