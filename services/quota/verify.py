"""The proof that the books agree: journal, counters, open holds and usage records.

Counters, holds and records are read at one instant, which is a place in the journal; the journal is
summed up, page by page, to exactly this place. So the proof holds under traffic, too.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from services.common import keys
from services.common.errors import Unavailable
from services.common.kv import Kv
from services.quota.books import Books
from services.quota.door import Door
from services.quota.proof import (
    Difference,
    JournalSums,
    Snapshot,
    Sums,
    counted,
    differences,
    held,
    recorded,
    subject,
)
from services.quota.scripts import Scripts

_PAGE = 500
"""Entries read at once: each page takes the process a few milliseconds."""

_ATTEMPTS = 20
_BUSY = "the ledger gains users, keys or months faster than it can be read; try again"


@dataclass(slots=True)
class Verdict:
    entries: int = 0
    spent: int = 0
    held: int = 0
    differences: list[Difference] = field(default_factory=list)


class Auditor:
    """Proves the books of one organisation at a time."""

    def __init__(self, door: Door, books: Books, scripts: Scripts) -> None:
        self._door = door
        self._books = books
        self._scripts = scripts

    async def verify(self, org: str) -> Verdict:
        """Every difference, by subject, month and field. Raises Unavailable when the KV does not
        answer, or gains users and keys all the time."""
        for _ in range(_ATTEMPTS):
            dropped = await self._books.config(keys.journal_sums(org))
            journal = JournalSums()
            journal.carry(dropped)
            await self._read(org, journal, "+")
            known = set(journal.rows)
            snapshot = await self._snapshot(org, journal)
            await self._read(org, journal, snapshot.newest or "-")
            if snapshot.dropped == dropped and set(journal.rows) == known:
                break
        else:
            raise Unavailable(_BUSY, retry_after_ms=1_000)
        verdict = Verdict(entries=journal.entries)
        for (whose, _, name), value in snapshot.counters.items():
            if (whose, name) == ("org", "spent"):
                verdict.spent += value
            elif (whose, name) == ("org", "held"):
                verdict.held += value
        verdict.differences = sorted(
            differences(snapshot, journal), key=lambda d: (d.subject, d.month, d.field, d.source)
        )
        return verdict

    async def _read(self, org: str, journal: JournalSums, end: str) -> None:
        while True:
            start = f"({journal.after}" if journal.after else "-"
            page = await self._books.journal(org, start, end, _PAGE)
            for entry_id, fields in page:
                journal.add(entry_id, fields)
            if len(page) < _PAGE:
                return

    async def _snapshot(self, org: str, journal: JournalSums) -> Snapshot:
        users, key_ids = await self._members(org, journal)
        subjects = {"org": keys.org_quota(org)}
        subjects |= {subject("user", user): keys.user_quota(org, user) for user in users}
        subjects |= {subject("key", key): keys.key_quota(org, key) for key in key_ids}
        months = sorted({month for _, _, month in journal.rows})
        hashes = [*subjects.values(), *(keys.usage_records(org, month) for month in months)]
        hashes.append(keys.journal_sums(org))
        front = [keys.journal(org), keys.holds(org)]
        newest, members, rows, _ = await self._door.run(
            self._scripts.snapshot, [*front, *hashes], [len(hashes)]
        )
        dicts = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
        return Snapshot(
            newest,
            counted(zip(subjects, dicts, strict=False)),
            recorded(zip(months, dicts[len(subjects) : -1], strict=True)),
            await self._held(org, members, newest),
            dicts[-1],
        )

    async def _held(self, org: str, members: list[str], newest: str) -> Sums:
        """What the holds that were open at ``newest`` held then. They are read a moment later: one
        that has ended meanwhile still tells it, one that was extended tells more, which the
        journal knows."""
        ids = [member.split(" ")[0] for member in members]
        names = [keys.journal(org), keys.holds(org), *(keys.hold(org, rid) for rid in ids)]
        later, _, _, rows = await self._door.run(self._scripts.snapshot, names, [0])
        grown: dict[str, int] = defaultdict(int)
        start = f"({newest}" if newest else "-"
        while page := await self._books.journal(org, start, later or "-", _PAGE):
            for _, entry in page:
                if entry["k"] == "extend":
                    grown[entry["id"]] += int(entry["h"])
            start = f"({page[-1][0]}"
        return held(zip(members, rows, strict=True), grown)

    async def _members(self, org: str, journal: JournalSums) -> tuple[list[str], list[str]]:
        """All users and keys: those of the journal, and those of the directory, which must not
        have counters that the journal does not explain."""

        seen_users = {user for user, _, _ in journal.rows}

        async def listed(kv: Kv) -> tuple[set[str], set[str]]:
            users = set(map(str, await kv.zrange(keys.org_users(org), 0, -1)))
            key_ids: set[str] = set()
            for user in users | seen_users:
                key_ids.update(map(str, await kv.zrange(keys.user_keys(org, user), 0, -1)))
            return users, key_ids

        users, key_ids = await self._door.ask(listed)
        return sorted(users | seen_users), sorted(key_ids | {key for _, key, _ in journal.rows})
