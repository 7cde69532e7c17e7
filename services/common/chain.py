"""The audit trail as a chain of hashes.

An entry is JSON that names its place (``n``, from 1), its stream id and the hash of the entry
before; its own hash is SHA-256 over that hash and the JSON as it is stored. The head, kept beside
the trail, repeats place, id and hash of the newest, so that a cut tail shows too.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry; the default is a trail that has none."""

    count: int = 0
    entry_id: str = "0-0"
    hash: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Head":
        if not text:
            return cls()
        count, entry_id, digest = text.split(" ")
        return cls(int(count), entry_id, digest)

    def text(self) -> str:
        return f"{self.count} {self.entry_id} {self.hash}" if self.count else ""


def link(head: Head, facts: dict[str, Any], now: int) -> tuple[str, Head]:
    """The stored form of the next entry, and the head after it. ``now`` is Unix milliseconds; ids
    grow even where clocks do not."""
    last, _, sequence = head.entry_id.partition("-")
    ms = max(now, int(last))
    entry_id = f"{ms}-{int(sequence) + 1}" if ms == int(last) else f"{ms}-0"
    body = {**facts, "n": head.count + 1, "id": entry_id, "time": ms, "previous": head.hash}
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    return text, Head(head.count + 1, entry_id, _digest(head.hash, text))


@dataclass
class Verifier:
    """Is fed a trail from its first entry on, then told its head."""

    breaks: list[str] = field(default_factory=list)
    entries: int = 0
    _last: Head = field(default_factory=Head)

    def feed(self, entry_id: str, text: str, digest: str) -> None:
        """One entry as it is stored."""
        self.entries += 1
        try:
            body = orjson.loads(text)
            place, named, previous = int(body["n"]), str(body["id"]), str(body["previous"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self.breaks.append(f"{entry_id}: is not an entry of ours")
            return
        if _digest(previous, text) != digest:
            self.breaks.append(f"{entry_id}: was edited: its hash does not fit its content")
        elif named != entry_id:
            self.breaks.append(f"{entry_id}: was moved: it was written as {named}")
        elif place > self._last.count + 1:
            gone = place - self._last.count - 1
            self.breaks.append(f"{entry_id}: {gone} removed before this entry (it is no. {place})")
        elif place <= self._last.count:
            self.breaks.append(f"{entry_id}: out of order: no. {place} after {self._last.count}")
        elif previous != self._last.hash:
            self.breaks.append(f"{entry_id}: does not follow the entry before it")
        self._last = Head(place, entry_id, digest)

    def finish(self, head: Head) -> list[str]:
        """Every break found, one line each."""
        if head.count > self._last.count:
            gone = head.count - self._last.count
            self.breaks.append(f"{head.entry_id}: the newest {gone} removed (head is {head.count})")
        elif head != self._last:
            self.breaks.append(
                f"{self._last.entry_id}: the head does not name the newest entry "
                f"(head is {head.count}, entries end at {self._last.count})"
            )
        return self.breaks


def _digest(previous: str, text: str) -> str:
    return hashlib.sha256((previous + text).encode()).hexdigest()
