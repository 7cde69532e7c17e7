"""What this edge may spend while quota is unavailable, and what it has spent. Pure.

Money is nano-USD at the dearest price the ledger told for a model, so that what is counted here is
never below what will be booked. A share is for one UTC day; nothing that was spent comes back.
"""

import base64
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.quota.v1.quota_pb2 import (
    RESERVATION_STATE_RESERVED,
    GraceShare,
    Grant,
    ModelPrice,
    ReserveItem,
    SettleItem,
    TokenUsage,
)

_PICO_PER_NANO = 1_000


@dataclass(frozen=True, slots=True)
class Share:
    nano: int
    expire_ms: int


@dataclass(frozen=True, slots=True)
class Price:
    """Pico-USD of each unit."""

    input: int
    output: int
    request: int
    extra: int

    def fixed(self, used: TokenUsage) -> int:
        """Everything but the output."""
        return used.input_tokens * self.input + self.request + used.extra_units * self.extra

    def nano(self, used: TokenUsage) -> int:
        return -(-(self.fixed(used) + used.output_tokens * self.output) // _PICO_PER_NANO)


@dataclass(frozen=True, slots=True)
class Open:
    """An admitted request that still runs. ``item`` is what is booked if we die before its end."""

    org: str
    day: str
    held: int
    item: str

    def settlement(self) -> SettleItem:
        return SettleItem.FromString(base64.b64decode(self.item))


@dataclass(slots=True)
class GraceBook:
    shares: dict[str, dict[str, Share]] = field(default_factory=dict)
    """By organisation and day: before midnight there is tomorrow's beside today's."""
    prices: dict[str, Price] = field(default_factory=dict)
    spent: dict[str, dict[str, int]] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)
    barred: str = ""
    """A day on which nothing may be spent, because it is not known what was."""

    def hear(self, asked: list[str], shares: list[GraceShare], prices: list[ModelPrice]) -> bool:
        """What the ledger hands out; organisations it names no more have nothing. Answers whether
        something is new."""
        before = (dict(self.shares), dict(self.prices))
        for org in asked:
            self.shares.pop(org, None)
        for told in shares:
            share = Share(told.share_nano_usd, told.expire_time_ms)
            self.shares[told.org_id] = {**self.shares.get(told.org_id, {}), told.day: share}
        for price in prices:
            self.prices[price.model] = Price(
                price.input_price_pico_usd,
                price.output_price_pico_usd,
                price.request_price_pico_usd,
                price.extra_unit_price_pico_usd,
            )
        return before != (self.shares, self.prices)

    def give_up(self) -> list[GraceShare]:
        """Hold no shares any more; answers with what is spent of each."""
        spent = [
            GraceShare(org_id=org, day=day, share_nano_usd=self.used(org, day))
            for org, days in self.shares.items()
            for day in days
        ]
        self.shares = {}
        return spent

    def left(self, org: str, now_ms: int) -> int:
        """What may still be spent today."""
        day = day_of(now_ms)
        share = self._share(org, day)
        if share is None or now_ms >= share.expire_ms:
            return 0
        if day == self.barred:
            return 0
        return share.nano - self.used(org, day)

    def used(self, org: str, day: str) -> int:
        held = sum(one.held for one in self.open.values() if (one.org, one.day) == (org, day))
        return self.spent.get(day, {}).get(org, 0) + held

    def admit(self, item: ReserveItem, settlement: SettleItem, now_ms: int) -> Grant | None:
        """Hold the dearest the request can cost; None where the share does not pay for it."""
        org = item.owner.org_id
        price = self.prices.get(item.model)
        if price is None:
            return None
        least = item.min_output_tokens
        output = self._affordable(price, item.bound, self.left(org, now_ms))
        if output < least:
            return None
        output = min(output, item.bound.output_tokens)
        held = price.nano(_with_output(item.bound, output))
        settlement.held_nano_usd = held
        packed = base64.b64encode(settlement.SerializeToString()).decode()
        self.open[item.reservation_id] = Open(org, day_of(now_ms), held, packed)
        return Grant(
            held_nano_usd=held,
            output_tokens=output,
            month=settlement.month,
            admit_time_ms=now_ms,
            state=RESERVATION_STATE_RESERVED,
            output_price_pico_usd=price.output,
        )

    def extend(self, rid: str, model: str, bound: TokenUsage, want: int) -> tuple[int, int]:
        """Make a hold pay for up to ``want`` output tokens of ``model``; answers with the tokens it
        pays for, -1 where not even the input, and the money."""
        one, price = self.open[rid], self.prices.get(model)
        if price is None:
            return -1, one.held
        share = self._share(one.org, one.day)
        total = share.nano if share is not None else 0
        left = total - self.used(one.org, one.day) + one.held
        output = min(want, self._affordable(price, bound, left))
        held = max(one.held, price.nano(_with_output(bound, max(output, 0))) if output >= 0 else 0)
        self.open[rid] = Open(one.org, one.day, held, one.item)
        return output, held

    def close(self, item: SettleItem, *, billed: bool) -> bool:
        """The request is over: what it used takes the place of what was held. Answers whether it
        was open."""
        one = self.open.pop(item.reservation_id, None)
        if one is None:
            return False
        price = self.prices.get(item.model)
        cost = (price.nano(item.usage) if price else one.held) if billed else 0
        day = self.spent.setdefault(one.day, {})
        day[one.org] = day.get(one.org, 0) + cost
        return True

    def tidy(self, now_ms: int) -> None:
        """Forget days that are over."""
        today = day_of(now_ms)
        self.spent = {day: spent for day, spent in self.spent.items() if day >= today}

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> "GraceBook":
        """Raises ValueError, KeyError or TypeError for what ``dump`` did not write."""
        told: dict[str, Any] = json.loads(data)
        return cls(
            shares={
                org: {day: Share(**share) for day, share in days.items()}
                for org, days in told["shares"].items()
            },
            prices={model: Price(**price) for model, price in told["prices"].items()},
            spent=told["spent"],
            open={rid: Open(**one) for rid, one in told["open"].items()},
            barred=told["barred"],
        )

    def _share(self, org: str, day: str) -> Share | None:
        return self.shares.get(org, {}).get(day)

    @staticmethod
    def _affordable(price: Price, bound: TokenUsage, left: int) -> int:
        """Output tokens that ``left`` pays for beside everything else; -1 for not even that."""
        rest = left * _PICO_PER_NANO - price.fixed(bound)
        if rest < 0:
            return -1
        return rest // price.output if price.output else max(int(bound.output_tokens), 2**31)


def _with_output(bound: TokenUsage, output: int) -> TokenUsage:
    changed = TokenUsage()
    changed.CopyFrom(bound)
    changed.output_tokens = output
    return changed


def day_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d")
