"""Counters, usage records and journal of the reference model. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.quota import items
from services.quota.items import Owner, Refused
from services.quota.rules import Config, Name, Step, names

_RECORDED = ("spent", "requests", "input", "output")


class Tally:
    """What was spent and is held, by scope and month."""

    def __init__(self, configs: Mapping[Name, Config]) -> None:
        self._configs = configs
        self.counters: dict[Name, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.records: dict[Name, int] = defaultdict(int)
        self.journal: dict[str, list[Step]] = defaultdict(list)

    def used(self, scope: Name, month: str) -> tuple[int, int]:
        """Spent since the last reset, and held."""
        counters = self.counters[scope]
        spent = counters[f"{month}:spent"] - counters[f"{month}:reset"]
        return spent, counters[f"{month}:held"]

    def left(self, scopes: Sequence[Name], month: str, own: int) -> int | None:
        """What all limits leave to a request that holds ``own``; None without any limit."""
        left = [
            limit - sum(self.used(scope, month)) + own
            for scope in scopes
            if (limit := self._configs[scope].limit) is not None
        ]
        return min(left, default=None)

    def short(self, scopes: Sequence[Name], month: str, asked: int, own: int) -> Refused | None:
        """The refusal where ``asked`` does not fit: exhausted outranks held."""
        found = None
        for scope in scopes:
            limit = self._configs[scope].limit
            spent, held = self.used(scope, month)
            if limit is None or spent + held - own + asked <= limit:
                continue
            reason = "BUDGET_EXHAUSTED" if spent + asked > limit else "BUDGET_HELD"
            if found is None or (found.reason, reason) == ("BUDGET_HELD", "BUDGET_EXHAUSTED"):
                running = self.counters[scope]["running"]
                found = Refused(reason, scope[0], limit, spent, held, running, month=month)
        return found

    def book(self, owner: Owner, step: Step, day: str, running: int, grace: int = 0) -> None:
        """Writes a step to the journal, the counters of all three scopes and the records."""
        self.journal[owner.org].append(step)
        tokens = [int(n) for n in (step.tokens or items.NOTHING).split()]
        for scope in names(owner):
            counters = self.counters[scope]
            counters["running"] += running
            for name, value in (
                ("spent", step.spent),
                ("held", step.held),
                ("requests", step.requests),
                ("input_tokens", tokens[0]),
                ("cached_input_tokens", tokens[1]),
                ("output_tokens", tokens[4]),
                ("reasoning_output_tokens", tokens[5]),
                ("grace", grace),
            ):
                counters[f"{step.month}:{name}"] += value
        place = (owner.org, step.month, day, owner.user, owner.key, step.model)
        recorded = (step.spent, step.requests, tokens[0], tokens[4])
        for name, value in zip(_RECORDED, recorded, strict=True):
            self.records[*place, name] += value
