"""The ledger as plain Python: what the scripts mean, without a KV. Pure; the clock is passed in.

Nothing in production calls it. Tests hold the scripts against it, step by step.
"""

from dataclasses import replace

from services.quota import items
from services.quota.items import (
    Checked,
    Checkpoint,
    Granted,
    Refused,
    Reserve,
    Settle,
    Settled,
)
from services.quota.months import day_of, month_of
from services.quota.rules import Buckets, Config, Hold, Name, Step, allows, minus, most, names
from services.quota.tally import Tally


class Model:
    """One KV's worth of organisations."""

    def __init__(self) -> None:
        self.configs: dict[Name, Config] = {}
        self.tally = Tally(self.configs)
        self.buckets = Buckets(self.configs)
        self.holds: dict[tuple[str, str], Hold] = {}
        self.months: dict[str, str] = {}

    def reserve(self, ask: Reserve, now: int) -> Granted | Refused:
        org = self.configs.get(("org", ask.owner.org), Config())
        old = self.holds.get((ask.owner.org, ask.id))
        month = self._paying_month(ask.owner.org, now)
        no = Refused("", month=month, revision=org.revision)
        if old:
            if old.fingerprint != ask.fingerprint:
                return replace(no, reason="IDEMPOTENCY_CONFLICT")
            return Granted(
                old.held, old.output, old.month, old.admit_ms, True, old.state, org.revision
            )
        if abs(now - ask.caller_ms) > items.SKEW_MS:
            return replace(no, reason="CLOCK_SKEW")
        self.months[ask.owner.org] = month
        scopes = names(ask.owner)
        if barred := self._barred(scopes, now):
            return replace(no, reason=barred[0], scope=barred[1])
        for scope in scopes:
            patterns = self.configs[scope].models.split()
            if patterns and not any(allows(p, n) for p in patterns for n in (ask.model, ask.named)):
                return replace(no, reason="MODEL_NOT_FOUND", scope=scope[0])
        answer = self._admit(ask, scopes, month, now)
        rates = self.buckets.status(scopes, now)
        return replace(
            answer,
            month=month,
            revision=org.revision,
            requests=rates["requests"],
            tokens=rates["tokens"],
        )

    def _admit(self, ask: Reserve, scopes: list[Name], month: str, now: int) -> Granted | Refused:
        asked = {"requests": 1, "tokens": ask.rated}
        output = most(ask.bound, self.tally.left(scopes, month, 0), ask.output)
        if short := self.tally.short(scopes, month, ask.bound.nano(ask.least), 0):
            return replace(short, affordable=max(0, output))
        running = [self.tally.counters[scope]["running"] for scope in scopes]
        if limited := self.buckets.refuse(scopes, asked, running, now):
            return limited
        self.buckets.pour(scopes, asked, now)
        held, cost = ask.bound.nano(output), ask.bound.nano(0)
        self.holds[ask.owner.org, ask.id] = Hold(
            ask.owner,
            ask.fingerprint,
            ask.model,
            month,
            now,
            held=held,
            output=output,
            cost=cost,
            tokens=ask.tokens,
            rated=ask.rated,
            end_ms=now + items.LEASE_MS,
        )
        step = Step("reserve", ask.id, month, ask.model, held=held)
        self.tally.book(ask.owner, step, day_of(now), 1)
        return Granted(held, output, month, now, False, "reserved")

    def checkpoint(self, note: Checkpoint, now: int) -> Checked:
        hold = self.holds.get((note.owner.org, note.id))
        if hold is None:
            return Checked("")
        if hold.owner != note.owner:
            return Checked("CONFLICT")
        if hold.state != "reserved":
            return Checked(hold.state, hold.output, hold.held)
        hold.end_ms = now + items.LEASE_MS
        if note.cost > hold.cost:
            hold.cost, hold.tokens = note.cost, note.tokens
        scopes = names(note.owner)
        refused = None
        if barred := self._barred(scopes, now):
            refused = Refused(*barred, month=hold.month)
        elif note.want > hold.output:
            left = self.tally.left(scopes, hold.month, hold.held)
            output = most(note.bound, left, note.want)
            if output > hold.output:
                more = max(0, note.bound.nano(output) - hold.held)
                hold.held, hold.output = hold.held + more, output
                step = Step("extend", note.id, hold.month, hold.model, held=more)
                self.tally.book(note.owner, step, day_of(hold.admit_ms), 0)
            else:
                one_more = note.bound.nano(hold.output + 1)
                refused = self.tally.short(scopes, hold.month, one_more, hold.held)
                refused = replace(refused, affordable=max(0, output)) if refused else None
        return Checked("reserved", hold.output, hold.held, refused)

    def settle(self, item: Settle, now: int) -> Settled:
        hold = self.holds.get((item.owner.org, item.id))
        keep = items.KEEP_LONG_MS if item.grace else items.KEEP_MS
        if hold is None:
            if item.kind == "expire":
                return Settled("GONE", "", 0, item.month)
            if item.kind == "charge" and now - item.admit_ms > keep:
                return Settled("OLD", "", 0, item.month)
        else:
            if item.fingerprint not in ("", hold.fingerprint) or hold.owner != item.owner:
                return Settled("CONFLICT", hold.state, hold.charged, hold.month)
            over = hold.state in ("settled", "released")
            if over or (item.kind == "expire" and hold.state == "expired"):
                return Settled("DUP", hold.state, hold.charged, hold.month)
            if item.kind == "expire" and hold.end_ms > now:
                return Settled("ALIVE", hold.state, 0, hold.month)
        return self._settle(item, hold, now)

    def _settle(self, item: Settle, hold: Hold | None, now: int) -> Settled:
        charged, tokens, requests = item.cost, item.tokens, 1
        if item.kind == "release":
            charged, tokens, requests = 0, items.NOTHING, 0
        elif item.kind == "expire" and hold:
            charged, tokens = min(hold.cost, hold.held), hold.tokens
        ceiling = hold.held if hold else item.held or None
        if "anomaly" in item.flags and ceiling is not None:
            charged = min(charged, ceiling)
        flags = [item.flags] if item.flags else []
        flags += ["expired"] if item.kind == "expire" else []
        late = hold is not None and hold.state == "expired"
        flags += ["late"] if late else []
        flags += ["grace"] if item.grace else []
        flags += ["overrun"] if ceiling is not None and charged > ceiling else []
        kind = "settle" if item.kind == "charge" else item.kind
        month = hold.month if hold else item.month
        step = Step(kind, item.id, month, item.model, charged, 0, requests, tokens, ",".join(flags))
        known = hold is not None
        if hold is None:
            hold = Hold(item.owner, item.fingerprint, item.model, month, item.admit_ms, "unknown")
            self.holds[item.owner.org, item.id] = hold
        elif late:
            step = replace(
                step,
                spent=charged - hold.charged,
                requests=requests - 1,
                tokens=minus(tokens, hold.tokens),
                model=hold.model,
            )
        else:
            model = hold.model if kind == "expire" else item.model
            step = replace(step, held=-hold.held, model=model)
            self.buckets.correct(names(item.owner), hold.rated, tokens)
        if known or kind != "release":
            running = -1 if hold.state == "reserved" else 0
            grace = charged if item.grace else 0
            self.tally.book(item.owner, step, day_of(hold.admit_ms), running, grace)
        hold.state = {"settle": "settled", "release": "released", "expire": "expired"}[kind]
        hold.charged, hold.tokens = charged, tokens
        long = item.grace or late or kind == "expire"
        hold.forget_ms = now + (items.KEEP_LONG_MS if long else items.KEEP_MS)
        return Settled("OK", hold.state, charged, month)

    def reset(self, org: str, user: str, now: int) -> str:
        month = self._paying_month(org, now)
        counters = self.tally.counters["user", org, user]
        counters[f"{month}:reset"] = counters[f"{month}:spent"]
        self.tally.journal[org].append(Step("reset", "", month, ""))
        return month

    def forget(self, now: int) -> list[tuple[str, str]]:
        """Drops the outcomes that are remembered no longer; answers organisations and ids."""
        old = [
            name
            for name, hold in self.holds.items()
            if hold.forget_ms is not None and hold.forget_ms <= now
        ]
        for name in old:
            del self.holds[name]
        return old

    def _paying_month(self, org: str, now: int) -> str:
        return max(self.months.get(org, ""), month_of(now))

    def _barred(self, scopes: list[Name], now: int) -> tuple[str, str] | None:
        key, user, org = (self.configs.get(scope) for scope in scopes)
        if key is None or key.status != "active" or user is None or org is None:
            return "API_KEY_INVALID", "key"
        if key.expires is not None and key.expires <= now:
            return "API_KEY_INVALID", "key"
        for config, name in ((user, "user"), (org, "org")):
            if config.status != "active":
                return "SUSPENDED", name
        return None
