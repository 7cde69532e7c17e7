"""What the books of an organisation say, summed up from each of their sides. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.quota.months import is_month

_FIELDS = (
    "spent",
    "held",
    "requests",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_output_tokens",
)
_RECORDED = {
    "spent": "spent",
    "requests": "requests",
    "input": "input_tokens",
    "output": "output_tokens",
}

Place = tuple[str, str, str]
"""Subject ("org", "user:…", "key:…"), month, field."""

Sums = dict[Place, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that is not what ``source`` says."""

    subject: str
    month: str
    field: str
    counter: int
    expected: int
    source: str


@dataclass(slots=True)
class JournalSums:
    """The journal's sums up to an entry, by user, key and month."""

    after: str = ""
    entries: int = 0
    rows: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    def carry(self, dropped: Mapping[str, str]) -> None:
        """Begins with the sums of the entries that were dropped."""
        for name, value in dropped.items():
            if name == "entries":
                self.entries += int(value)
                continue
            user, key, month, measure = name.split("|")
            self._row(user, key, month)[_FIELDS.index(measure)] += int(value)

    def add(self, entry_id: str, e: Mapping[str, str]) -> None:
        self.after = entry_id
        self.entries += 1
        if not e["key"]:
            return
        row = self._row(e["u"], e["key"], e["m"])
        row[0] += int(e["s"])
        row[1] += int(e["h"])
        row[2] += int(e["n"])
        if e["t"]:
            tokens = e["t"].split(" ")
            row[3] += int(tokens[0])
            row[4] += int(tokens[4])
            row[5] += int(tokens[1])
            row[6] += int(tokens[5])

    def _row(self, user: str, key: str, month: str) -> list[int]:
        place = (user, key, month)
        row = self.rows.get(place)
        if row is None:
            row = self.rows[place] = [0] * len(_FIELDS)
        return row

    def sums(self) -> Sums:
        found: Sums = defaultdict(int)
        for (user, key, month), row in self.rows.items():
            for whose in _subjects(user, key):
                for name, value in zip(_FIELDS, row, strict=True):
                    found[whose, month, name] += value
        return found


@dataclass(slots=True)
class Snapshot:
    newest: str
    counters: Sums
    records: Sums
    holds: Sums
    dropped: dict[str, str]


def subject(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def _subjects(user: str, key: str) -> tuple[str, str, str]:
    """All that a step of this user with this key is counted for."""
    return "org", subject("user", user), subject("key", key)


def counted(rows: Iterable[tuple[str, dict[str, str]]]) -> Sums:
    found: Sums = {}
    for subject, fields in rows:
        for name, value in fields.items():
            month, _, measure = name.partition(":")
            if measure in _FIELDS and is_month(month):
                found[subject, month, measure] = int(value)
            elif name == "running":
                found[subject, "", name] = int(value)
    return found


def recorded(rows: Iterable[tuple[str, dict[str, str]]]) -> Sums:
    found: Sums = defaultdict(int)
    for month, fields in rows:
        for name, value in fields.items():
            _, user, key, rest = name.split("|", 3)
            measure = _RECORDED[rest.rpartition("|")[2]]
            for subject in _subjects(user, key):
                found[subject, month, measure] += int(value)
    return found


def held(rows: Iterable[tuple[str, Any]], grown: Mapping[str, int]) -> Sums:
    """Holds by member of the index and (state, held, month), less what they have ``grown`` by. One
    without a state is lost."""
    found: Sums = defaultdict(int)
    for member, (state, amount, month) in rows:
        if not state:
            continue
        rid, user, key = member.split(" ")
        for subject in _subjects(user, key):
            found[subject, month, "held"] += int(amount) - grown.get(rid, 0)
            found[subject, "", "running"] += 1
    return found


def _members_sum(counters: Sums, kind: str) -> Sums:
    """The counters of all users, or of all keys, added up for the organisation."""
    found: Sums = defaultdict(int)
    for (subject, month, name), value in counters.items():
        if subject.partition(":")[0] == kind:
            found["org", month, name] += value
    return found


def differences(snapshot: Snapshot, journal: JournalSums) -> Iterator[Difference]:
    counters = snapshot.counters
    org = {place: value for place, value in counters.items() if place[0] == "org"}
    every = (*_FIELDS, "running")
    yield from _compare(counters, journal.sums(), "journal", _FIELDS)
    yield from _compare(org, _members_sum(counters, "user"), "users", every)
    yield from _compare(org, _members_sum(counters, "key"), "keys", every)
    yield from _compare(counters, snapshot.holds, "holds", ("held", "running"))
    yield from _compare(counters, snapshot.records, "usage", tuple(_RECORDED.values()))


def _compare(
    counters: Sums, expected: Sums, source: str, fields: tuple[str, ...]
) -> Iterator[Difference]:
    for place in counters.keys() | expected.keys():
        if place[2] in fields and counters.get(place, 0) != expected.get(place, 0):
            yield Difference(*place, counters.get(place, 0), expected.get(place, 0), source)
