"""``python -m tests.torture [--seed N] [--seconds N]``: prints its seed and what it found; exit
code 1 when a guarantee did not hold."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.exact import CATALOG
from tests.system.fleet import PATIENT, fleet
from tests.system.rolling import STREAMS, restarts, two_of_each
from tests.torture.busy import busy
from tests.torture.crash import crash
from tests.torture.frozen import frozen
from tests.torture.grace import grace
from tests.torture.ledger import ledger
from tests.torture.race import race

Part = Callable[[Path, int, float], tuple[bool, list[str]]]


def races(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    catalog = directory / "models.toml"
    catalog.write_text(CATALOG)
    rounds = max(1, min(20, int(seconds / 15)))
    with fleet(quotas=2, settings={"GATEWAY_CATALOG": str(catalog)}, waits={}) as made:
        found = race(made, seed=seed, rounds=rounds, reserves=10_000, affordable=1_000)
    return found.exact == rounds, found.lines()


def freezes(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    waits = frozen(directory, rounds=max(1, min(20, int(seconds / 4))))
    return waits.statuses == {503} and waits.bounded, waits.lines()


def crowds(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    found = busy(directory, seconds=max(2.0, min(20.0, seconds / 3)))
    return found.good, found.lines()


def graces(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    found = grace(directory, seed=seed, rounds=max(1, min(20, int(seconds / 12))))
    return found.good, found.lines()


def crashes(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    found = crash(directory, seed=seed, faults=300, seconds=seconds)
    return found.good, found.lines()


def ledgers(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    found = ledger(directory, seed=seed, seconds=seconds)
    return found.good, found.lines()


def rollings(directory: Path, seed: int, seconds: float) -> tuple[bool, list[str]]:
    count = max(1, min(20, int(seconds / 25)))
    with two_of_each(directory, PATIENT) as made:
        streams = asyncio.run(restarts(made, count))
    told = f"{count} times every process of six restarted under {STREAMS} streams"
    good = set(streams.outcomes) == {"whole"}
    return good, [f"{told}, nothing repeated: {dict(streams.outcomes)}"]


PARTS: dict[str, tuple[float, Part]] = {
    "frozen": (0.1, freezes),
    "busy": (0.1, crowds),
    "ledger": (0.1, ledgers),
    "race": (0.15, races),
    "grace": (0.25, graces),
    "crash": (0.4, crashes),
    "rolling": (0.2, rollings),
}
"""With their part of the time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=600, help="about how long in all")
    parser.add_argument("--only", choices=list(PARTS), action="append")
    told = parser.parse_args()
    print(f"seed {told.seed}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC", flush=True)
    chosen = {name: part for name, part in PARTS.items() if name in (told.only or PARTS)}
    whole = sum(share for share, _ in chosen.values())
    bad = []
    for name, (share, part) in chosen.items():
        with tempfile.TemporaryDirectory(prefix=f"torture-{name}-") as directory:
            good, lines = part(Path(directory), told.seed, told.seconds * share / whole)
        print("\n".join(f"{name}: {line}" for line in lines), flush=True)
        if not good:
            bad.append(name)
    print(f"broken: {', '.join(bad)}; repeat with --seed {told.seed}" if bad else "all good")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
