"""The ledger's scripts against the pure model, for as long as there is time, and every mistake
that somebody could make in them."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from services.launch import kv
from tests.quota.duel import Duel
from tests.quota.mutants import MUTANTS, Mutant
from tests.quota.test_ledger_mutants import mutate, story
from tests.quota.test_ledger_stateful import play
from tests.quota.world import TEST_CLOCK, world

EXAMPLES, STEPS = 50, 60


@dataclass
class Stories:
    told: int = 0
    differences: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.differences and not self.survived

    def lines(self) -> list[str]:
        killed = len(MUTANTS) - len(self.survived)
        return [
            f"{self.told} stories of up to {STEPS} steps: scripts and model differ in "
            f"{len(self.differences)}",
            *self.differences,
            f"{killed} of {len(MUTANTS)} mistakes noticed"
            + (f"; not: {', '.join(self.survived)}" if self.survived else ""),
        ]


def ledger(directory: Path, *, seed: int, seconds: float) -> Stories:
    """Mistakes first, then stories until the time is over; the last one is told to its end."""
    found, end = Stories(), time.monotonic() + seconds
    with kv.running(directory / "kv") as url:
        for mutant in MUTANTS:
            if not asyncio.run(_noticed(url, mutant, directory)):
                found.survived.append(mutant.name)
        while time.monotonic() < end and not found.differences:
            try:
                play(url, examples=EXAMPLES, steps=STEPS, chosen=seed + found.told)
            except AssertionError as error:
                found.differences.append("\n".join((str(error), *getattr(error, "__notes__", ()))))
            found.told += EXAMPLES
    return found


async def _noticed(url: str, mutant: Mutant, directory: Path) -> bool:
    scripts = mutate(mutant, directory / mutant.name.replace(" ", "-"))
    async with world(url, clock=TEST_CLOCK) as made:
        try:
            await story(Duel(made, scripts))
        except AssertionError:
            return True
    return False
