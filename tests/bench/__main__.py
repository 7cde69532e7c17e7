"""``python -m tests.bench [run|clients|soak|scale] [--quick]``: what the gateway costs.

``run`` (the default) measures and judges: exit code 1 when a bar is missed. ``clients`` compares
HTTP clients by themselves, ``soak`` looks for
growth over time, ``scale`` for where more processes stop helping and whether data makes it slow.
"""

import argparse
import json
import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import clients, grow, measure, report, stage

ARTIFACTS = Path("artifacts")


def say(text: str) -> None:
    print(text, flush=True)


def compare(options: argparse.Namespace) -> int:
    ends = time.monotonic() + options.minutes * 60
    wanted = [s for s in measure.SCENARIOS if options.only in s.name]
    if options.quick:
        wanted = [s for s in wanted if not s.once]
        say("--quick leaves out: slow streams; figures are for orientation, no bar is judged")
    with ExitStack() as stack:
        direct = stack.enter_context(stage.mock())
        gateway = stack.enter_context(stage.gateway(direct))
        targets = [(direct, gateway.key)]
        front = stack.enter_context(stage.nginx(direct))
        if front is None:
            say("nginx is not installed: left out, and the bar that compares with it")
        else:
            targets.append((front, gateway.key))
        targets.append((gateway.target, gateway.key))
        if not options.no_naive:
            targets.append((stack.enter_context(stage.naive(gateway, direct)), gateway.key))
        rest = gateway.target.rss_mib()
        results = measure.rounds(
            wanted,
            targets,
            count=1 if options.quick else options.rounds,
            seconds=min(1.0, options.seconds) if options.quick else options.seconds,
            ends=ends,
            say=say,
        )
        spent = gateway.fleet.admin("GET", f"/organizations/{gateway.org}/usage")
    say("\n" + report.table(results))
    say("\nRSS at rest, MiB: " + ", ".join(f"{role} {mib:,.0f}" for role, mib in rest.items()))
    say(f"the ledger counted {spent['request_count']:,} requests, {spent['spent_usd']} USD\n")
    judged, well = report.bars(results)
    say(judged)
    save("run", {"results": [r.as_dict() for r in results], "rest_mib": rest, "bars": judged})
    return 0 if well or options.quick else 1


def save(name: str, content: object) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    path = ARTIFACTS / f"bench-{name}.json"
    path.write_text(json.dumps(content, indent=1))
    say(f"figures in {path}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="run", choices=["run", "clients", "soak", "scale"]
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=10, help="most of the whole run")
    parser.add_argument("--no-naive", action="store_true", help="without the naive gateway")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.what == "clients":
        count = 1 if options.quick else options.rounds
        result = clients.compare(count=count, seconds=options.seconds / 2, say=say)
    elif options.what == "soak":
        result = grow.soak(minutes=options.minutes, say=say)
    elif options.what == "scale":
        result = grow.scale(seconds=options.seconds, quick=options.quick, say=say)
    else:
        return compare(options)
    save(options.what, result)
    return 0 if result["well"] else 1


if __name__ == "__main__":
    sys.exit(main())
