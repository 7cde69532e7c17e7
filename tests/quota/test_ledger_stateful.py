"""Hypothesis plays everything that can happen; after every step scripts and model agree.

``python -m tests.torture`` runs the same machine for longer.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.quota import scripts
from services.quota.items import Reserve
from services.quota.months import next_start_ms
from services.quota.pricing import Bound
from services.quota.rules import Config
from tests.quota.duel import Duel, ask, charge, note
from tests.quota.world import TEST_CLOCK, name, world

who = st.integers(0, 2)
costs = st.integers(0, 400)
asks = st.fixed_dictionaries(
    {
        "who": who,
        "fixed": st.integers(0, 300_000),
        "price": st.sampled_from([0, 1, 999, 1_000, 2_500, 7_777]),
        "output": st.integers(0, 60),
        "least": st.integers(0, 60),
        "skew": st.sampled_from([0, 0, 0, 2_000, -2_000, 2_001, -2_001]),
        "rated": st.integers(0, 200),
        "model": st.sampled_from(["simulator/echo", "openai/gpt-5-mini"]),
    }
)
configs = st.builds(
    Config,
    status=st.sampled_from(["active"] * 6 + ["suspended"]),
    limit=st.none() | st.integers(0, 2_000),
    models=st.sampled_from(["", "", "", "simulator/*", "echo", "openai/*mini gpt-*", "*/e*o"]),
    rpm=st.none() | st.integers(0, 8),
    tpm=st.none() | st.integers(0, 600),
    concurrency=st.none() | st.integers(0, 6),
)


class Ledger(RuleBasedStateMachine):
    """``kv_url`` is set on a subclass by the test."""

    kv_url = ""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.open = world(self.kv_url, clock=TEST_CLOCK)
        made = self.run(self.open.__aenter__())
        self.duel = Duel(made, scripts.load(clock=TEST_CLOCK))
        self.run(self.duel.begin())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.open.__aexit__(None, None, None))
            self.loop.close()

    @rule(batch=st.lists(asks, min_size=1, max_size=4))
    def reserve(self, batch: list[dict[str, Any]]) -> None:
        self.run(self.duel.reserve(*self.asked(batch)))

    def asked(self, batch: list[dict[str, Any]]) -> list[Reserve]:
        return [
            ask(
                self.duel,
                one["who"],
                bound=Bound(one["fixed"], one["price"]),
                output=max(one["output"], one["least"]),
                least=one["least"],
                caller_ms=self.duel.now + one["skew"],
                rated=one["rated"],
                model=one["model"],
                named=one["model"].partition("/")[2],
            )
            for one in batch
        ]

    @precondition(lambda self: self.duel.asks)
    @rule(
        picks=st.lists(st.tuples(st.integers(0), costs), min_size=1, max_size=4),
        flags=st.sampled_from(["", "estimated"]),
        batch=st.lists(asks, min_size=1, max_size=4),
    )
    def settle_and_reserve(
        self, picks: list[tuple[int, int]], flags: str, batch: list[dict[str, Any]]
    ) -> None:
        settled = [charge(self.duel.asks[n % len(self.duel.asks)], cost) for n, cost in picks]
        settled = [replace(item, flags=flags) for item in settled]
        self.run(self.duel.exchange(settled, self.asked(batch)))

    @precondition(lambda self: self.duel.asks)
    @rule(pick=st.integers(0), other=st.booleans())
    def reserve_again(self, pick: int, other: bool) -> None:
        made = self.duel.asks[pick % len(self.duel.asks)]
        self.run(self.duel.reserve(replace(made, fingerprint="other") if other else made))

    @precondition(lambda self: self.duel.asks)
    @rule(picks=st.lists(st.tuples(st.integers(0), costs, st.integers(0, 90)), min_size=1))
    def checkpoint(self, picks: list[tuple[int, int, int]]) -> None:
        made = [(self.duel.asks[n % len(self.duel.asks)], cost, want) for n, cost, want in picks]
        self.run(self.duel.checkpoint(*(note(m, cost, want) for m, cost, want in made)))

    @rule(who=who)
    def checkpoint_of_another(self, who: int) -> None:
        unknown = ask(self.duel, who)
        other = self.duel.asks[-1] if self.duel.asks else unknown
        owner = self.duel.owners[(self.duel.owners.index(other.owner) + 1) % 3]
        self.run(self.duel.checkpoint(note(unknown, 1), note(other, 1, owner=owner)))

    @precondition(lambda self: self.duel.asks)
    @rule(
        picks=st.lists(
            st.tuples(
                st.integers(0),
                st.sampled_from(["charge", "charge", "release"]),
                costs,
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
        ),
        fingerprint=st.sampled_from(["f", "f", "f", "", "other"]),
        flags=st.sampled_from(["", "", "estimated", "partial,anomaly"]),
        repeat=st.booleans(),
    )
    def settle(
        self,
        picks: list[tuple[int, str, int, bool]],
        fingerprint: str,
        flags: str,
        repeat: bool,
    ) -> None:
        made = [
            charge(self.duel.asks[n % len(self.duel.asks)], cost, kind, grace=grace)
            for n, kind, cost, grace in picks
        ]
        made = [replace(item, fingerprint=fingerprint, flags=flags) for item in made]
        self.run(self.duel.settle(*made))
        if repeat:
            self.run(self.duel.settle(*made))

    @rule(
        who=who,
        kind=st.sampled_from(["charge", "charge", "release", "expire"]),
        cost=costs,
        grace=st.booleans(),
        age_minutes=st.sampled_from([0, 1, 59, 60, 61, 24 * 60, 7 * 24 * 60, 7 * 24 * 60 + 1]),
        held=st.sampled_from([0, 100]),
        flags=st.sampled_from(["", "anomaly"]),
    )
    def settle_unknown(
        self,
        who: int,
        kind: str,
        cost: int,
        grace: bool,
        age_minutes: int,
        held: int,
        flags: str,
    ) -> None:
        made = ask(self.duel, who, id=name("rsv"), caller_ms=self.duel.now - age_minutes * 60_000)
        if kind != "expire":
            self.duel.asks.append(replace(made, caller_ms=self.duel.now))
        settled = charge(made, cost, kind, grace=grace, held=held, flags=flags)
        self.run(self.duel.settle(settled))

    @rule()
    def sweep(self) -> None:
        self.run(self.duel.expire())

    @rule(pick=st.integers(0, 5), config=configs, delete=st.integers(0, 9))
    def configure(self, pick: int, config: Config, delete: int) -> None:
        scope = self.duel.scopes()[pick]
        if scope[0] == "key" and delete == 1:
            config.expires = self.duel.now + 1_000
        self.run(self.duel.configure(scope, None if delete == 0 else config))

    @rule(
        ms=st.sampled_from([1, 999, 1_000, 10_000, 29_999, 30_000, 30_001, 60_000, 3_600_000]),
        back=st.booleans(),
    )
    def time_passes(self, ms: int, back: bool) -> None:
        self.run(self.duel.clock(self.duel.now + (-ms // 10 if back and ms < 60_000 else ms)))

    @rule(offset=st.sampled_from([-1, 0, 1]))
    def month_ends(self, offset: int) -> None:
        month = self.duel.model.months.get(self.duel.org, "2026-10")
        self.run(self.duel.clock(next_start_ms(month) + offset))

    @rule(user=st.integers(0, 2))
    def reset(self, user: int) -> None:
        self.run(self.duel.reset(self.duel.owners[user].user))

    @precondition(lambda self: self.duel.model.tally.journal[self.duel.org])
    @rule(count=st.integers(1, 9))
    def archive(self, count: int) -> None:
        self.run(self.duel.archive(count))

    @invariant()
    def books_agree(self) -> None:
        self.run(self.duel.check())


def play(
    kv_url: str, *, examples: int, steps: int, chosen: int | None = None, shrink: bool = False
) -> None:
    """Raises AssertionError with a story in which scripts and model differ; ``shrink`` looks for
    the shortest one, which may take minutes. ``chosen`` is a seed."""
    machine = type("Ledger", (Ledger,), {"kv_url": kv_url})
    run_state_machine_as_test(
        machine if chosen is None else seed(chosen)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        ),
    )


@pytest.mark.timeout(120)
def test_scripts_and_model_agree_whatever_happens(kv_url: str) -> None:
    play(kv_url, examples=60, steps=30)
