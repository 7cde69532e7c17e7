"""The scripts and the pure model, given the same work: answers, books and proof must agree."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.common import keys
from services.common.trail import Author, Trail
from services.quota import entries, items
from services.quota.door import Door
from services.quota.items import Checked, Checkpoint, Granted, Owner, Refused, Reserve, Settle
from services.quota.model import Model
from services.quota.pricing import Bound, Tokens
from services.quota.resets import Resets
from services.quota.rules import Config, Name, Step
from services.quota.scripts import Scripts
from services.quota.store import LedgerStore
from services.quota.verify import Auditor
from tests.quota.world import CLOCK_KEY, World, name, reserve, settle

START = 1_793_480_400_000  # 2026-10-31T21:00:00Z: three hours before a month ends.
ENTRY = ("k", "id", "m", "model", "s", "h", "n", "t", "f")


class Duel:
    """One organisation with two users and three keys, its clock in the test's hand."""

    def __init__(self, world: World, scripts: Scripts) -> None:
        door = Door(world.kv, timeout=5)
        self.world = world
        self.kv = world.kv
        self.store = LedgerStore(door, scripts)
        self.resets = Resets(door, scripts, Trail(world.kv, lambda: self.now))
        self.auditor = Auditor(door, world.books, scripts)
        self.model = Model()
        self.now = START
        self.asks: list[Reserve] = []
        self._seen = "-"

    async def begin(self) -> None:
        self.org = name("org")
        users = [name("user"), name("user")]
        self.owners = [
            Owner(self.org, users[0], name("key")),
            Owner(self.org, users[0], name("key")),
            Owner(self.org, users[1], name("key")),
        ]
        await self.clock(START)
        await self.kv.zadd(keys.ORGS, {self.org: 0})
        for scope in self.scopes():
            await self.configure(scope, Config())

    def scopes(self) -> list[Name]:
        found: list[Name] = [("org", self.org)]
        found += [("user", self.org, user) for user in dict.fromkeys(o.user for o in self.owners)]
        return found + [("key", self.org, owner.key) for owner in self.owners]

    async def clock(self, ms: int) -> None:
        """Sets the KV's clock; outcomes too old to be remembered are forgotten on both sides."""
        self.now = ms
        await self.kv.set(CLOCK_KEY, ms)
        for org, rid in self.model.forget(ms):
            await self.kv.delete(keys.hold(org, rid))

    async def configure(self, scope: Name, config: Config | None) -> None:
        """What auth writes; None deletes."""
        spell: dict[str, Any] = {
            "org": keys.org_config,
            "user": keys.user_config,
            "key": keys.key_config,
        }
        key = spell[scope[0]](*scope[1:])
        await self.kv.delete(key)
        self.model.configs.pop(scope, None)
        if config is not None:
            self.model.configs[scope] = config
            fields = {k: str(v) for k, v in vars(config).items() if v is not None}
            await self.kv.hset(key, mapping=fields)

    async def reserve(self, *asks: Reserve) -> list[Granted | Refused]:
        expected = [self.model.reserve(ask, self.now) for ask in asks]
        found = await self.store.reserve(asks)
        assert found == expected
        await self._admitted(asks, found)
        return found

    async def exchange(self, settles: Sequence[Settle], asks: Sequence[Reserve]) -> None:
        """First the settles, each in its month, then the reserves."""
        settles = [self._in_its_month(item) for item in settles]
        booked = [self.model.settle(item, self.now) for item in settles]
        admitted = [self.model.reserve(ask, self.now) for ask in asks]
        assert await self.store.settle_and_reserve(settles, asks) == (booked, admitted)
        await self._booked(settles, booked)
        await self._admitted(asks, admitted)

    async def _admitted(self, asks: Sequence[Reserve], found: list[Granted | Refused]) -> None:
        self.asks += [a for a, e in zip(asks, found, strict=True) if isinstance(e, Granted)]
        for ask, answer in zip(asks, found, strict=True):
            if isinstance(answer, Granted) and not answer.duplicate:
                used = await self.kv.hget(keys.key_config(*ask.owner[::2]), "last_used")
                assert int(used or 0) >= self.now // 60_000 * 60_000

    async def checkpoint(self, *notes: Checkpoint) -> list[Checked]:
        expected = [self.model.checkpoint(note, self.now) for note in notes]
        found = await self.store.checkpoint(notes)
        assert found == expected
        return found

    async def settle(self, *settles: Settle) -> list[items.Settled]:
        expected = [self.model.settle(item, self.now) for item in settles]
        if len(settles) > 1:
            # One with a month not its reservation's comes second: as it should, but in an order
            # the model does not know.
            settles = tuple(map(self._in_its_month, settles))
        found = await self.store.settle(settles)
        assert found == expected
        await self._booked(settles, found)
        return found

    async def _booked(self, settles: Sequence[Settle], found: list[items.Settled]) -> None:
        for item, answer in zip(settles, found, strict=True):
            hold = self.model.holds.get((self.org, item.id))
            if answer.code == "OK" and hold and hold.forget_ms is not None:
                kept = hold.forget_ms - self.now
                left = await self.kv.pttl(keys.hold(self.org, item.id))
                assert kept - 60_000 < left <= kept

    def _in_its_month(self, item: Settle) -> Settle:
        hold = self.model.holds.get((self.org, item.id))
        return replace(item, month=hold.month) if hold else item

    async def expire(self, count: int = 256) -> list[items.Settled]:
        """What the sweeper does, without looking whether leases have ended."""
        leases = await self.world.books.leases(self.org, count)
        return await self.settle(
            *(Settle(lease.id, "expire", lease.owner, "", self.now) for lease in leases)
        )

    async def reset(self, user: str) -> None:
        expected = self.model.reset(self.org, user, self.now)
        author = Author("admin", "req_1")
        assert await self.resets.reset(self.org, user, "because", author) == expected

    async def archive(self, count: int) -> None:
        """Drops all entries but those of the newest one's millisecond, ``count`` at a time."""
        await self.check()
        ids = [place for place, _ in await self.kv.xrange(keys.journal(self.org))]
        before = int(ids[-1].partition("-")[0])
        old = [place for place in ids if int(place.partition("-")[0]) < before]
        while old:
            dropped, old = old[:count], old[count:]
            assert await self.store.archive(self.org, before, count) == len(dropped)
        assert await self.store.archive(self.org, before, count) == 0
        left = [place for place, _ in await self.kv.xrange(keys.journal(self.org))]
        assert left == [place for place in ids if int(place.partition("-")[0]) >= before]

    async def check(self) -> None:
        """Books equal the model's, and the proof finds nothing."""
        pipe = self.kv.pipeline(transaction=False)
        names = {scope: _quota_key(scope) for scope in self.scopes()}
        for key in names.values():
            pipe.hgetall(key)
        months = sorted({place[1] for place in self.model.tally.records})
        for month in months:
            pipe.hgetall(keys.usage_records(self.org, month))
            pipe.zrange(keys.rank_by_cost(self.org, month), 0, -1, withscores=True)
            pipe.zrange(keys.rank_by_requests(self.org, month), 0, -1, withscores=True)
            pipe.zrange(keys.usage_index(self.org, month), 0, -1)
        pipe.zrange(keys.holds(self.org), 0, -1, withscores=True)
        pipe.xrange(keys.journal(self.org), self._seen, "+")
        *rows, leases, stream = await pipe.execute()
        for scope, fields in zip(names, rows, strict=False):
            assert _numbers(fields) == _without_zeros(self.model.tally.counters[scope]), scope
        self._check_records(months, rows[len(names) :])
        assert {m: int(end) for m, end in leases} == {
            " ".join((rid, hold.owner.user, hold.owner.key)): hold.end_ms
            for (_, rid), hold in self.model.holds.items()
            if hold.state == "reserved"
        }
        if stream:
            self._seen = f"({stream[-1][0]}"
            steps = self.model.tally.journal[self.org][-len(stream) :]
            found = [entries.fields(entry) for _, entry in stream]
            assert [tuple(e[f] for f in ENTRY) for e in found] == list(map(_entry, steps))
        verdict = await self.auditor.verify(self.org)
        assert verdict.differences == []
        assert verdict.entries == len(self.model.tally.journal[self.org])

    def _check_records(self, months: Sequence[str], rows: Sequence[Any]) -> None:
        expected: dict[tuple[str, str], int] = {}
        cost: dict[tuple[str, str], int] = defaultdict(int)
        count: dict[tuple[str, str], int] = defaultdict(int)
        for (_, month, day, user, key, model, measure), n in self.model.tally.records.items():
            expected[month, "|".join((day, user, key, model, measure))] = n
            if measure in ("spent", "requests"):
                (cost if measure == "spent" else count)[month, user] += n
        found: dict[tuple[str, str], int] = {}
        ranks: list[dict[tuple[str, str], int]] = [{}, {}]
        for n, month in enumerate(months):
            records, *ranked, index = rows[n * 4 : n * 4 + 4]
            counted = {field.rpartition("|")[0] for field in records if int(records[field])}
            assert counted <= set(index)
            found.update({(month, field): int(value) for field, value in records.items()})
            for into, rank in zip(ranks, ranked, strict=True):
                into.update({(month, user): int(score) for user, score in rank})
        assert _without_zeros(found) == _without_zeros(expected)
        assert list(map(_without_zeros, ranks)) == [_without_zeros(cost), _without_zeros(count)]


def ask(duel: Duel, who: int, **changes: Any) -> Reserve:
    """Costs 100 nano-USD and 2.5 an output token, unless changed."""
    fields: dict[str, Any] = {
        "caller_ms": duel.now,
        "bound": Bound(99_500, 2_500),
        "output": 40,
        "least": 40,
        "rated": 60,
    }
    return reserve(duel.owners[who], **(fields | changes))


def charge(made: Reserve, cost: int, kind: str = "charge", **changes: Any) -> Settle:
    tokens = str(Tokens(20, 5, 0, 0, 10, 2, 0, 0))
    return settle(made, cost, kind, **({"tokens": tokens} | changes))


def note(made: Reserve, cost: int, want: int = 0, **changes: Any) -> Checkpoint:
    tokens = str(Tokens(input=20, output=cost % 97))
    fields: dict[str, Any] = {
        "id": made.id,
        "owner": made.owner,
        "cost": cost,
        "tokens": tokens,
        "want": want,
        "bound": made.bound,
    }
    return Checkpoint(**(fields | changes))


def _quota_key(scope: Name) -> str:
    spell: dict[str, Any] = {
        "org": keys.org_quota,
        "user": keys.user_quota,
        "key": keys.key_quota,
    }
    return str(spell[scope[0]](*scope[1:]))


def _numbers(fields: dict[str, str]) -> dict[str, int]:
    kept = {f: v for f, v in fields.items() if f != "month" and not f.startswith("rate:")}
    return {field: int(value) for field, value in kept.items() if int(value)}


def _without_zeros(fields: Any) -> dict[Any, int]:
    return {field: value for field, value in fields.items() if value}


def _entry(step: Step) -> tuple[str, ...]:
    return (
        step.kind,
        step.id,
        step.month,
        step.model,
        str(step.spent),
        str(step.held),
        str(step.requests),
        step.tokens,
        step.flags,
    )
