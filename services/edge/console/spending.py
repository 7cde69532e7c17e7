"""Usage summed for a chart and a table. Amounts stay decimals; only the browser draws floats."""

import calendar
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from services.edge.console.api import path
from services.edge.console.visit import Visit

SERIES = 5
OTHERS = "others"
_COUNTS = ("request_count", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Chart:
    """``series`` have a name and an amount (decimal string) for each day."""

    days: list[str]
    series: list[dict[str, Any]]

    @property
    def empty(self) -> bool:
        return not self.series

    def json(self) -> str:
        return orjson.dumps({"days": self.days, "series": self.series}).decode()

    def totals(self) -> list[tuple[str, Decimal]]:
        """Each day and its amount, for those who read and do not look."""
        sums = (
            sum((Decimal(each["spent"][place]) for each in self.series), Decimal(0))
            for place in range(len(self.days))
        )
        return list(zip(self.days, sums, strict=True))


@dataclass(frozen=True, slots=True)
class Spending:
    month: str
    rows: list[dict[str, Any]]

    def by(self, *names: str) -> list[dict[str, Any]]:
        """Sums over everything but ``names``, the largest first."""
        sums: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in self.rows:
            group = tuple(row[name] for name in names)
            total = sums.setdefault(
                group,
                dict(zip(names, group, strict=True))
                | {"spent_usd": Decimal(0)}
                | dict.fromkeys(_COUNTS, 0),
            )
            total["spent_usd"] += Decimal(row["spent_usd"])
            for name in _COUNTS:
                total[name] += row[name]
        return sorted(sums.values(), key=lambda t: (-t["spent_usd"], -t["request_count"]))

    def chart(self, series: str = "", names: Mapping[str, str] | None = None) -> Chart:
        """The month by day; ``series`` is the column to tell apart, ``names`` what its values are
        called. The largest ``SERIES`` of them, and the others together."""
        if not self.rows:
            return Chart([], [])
        ranked = [str(total[series]) for total in self.by(series)] if series else [""]
        shown = ranked[:SERIES] if len(ranked) > SERIES + 1 else ranked
        days = _days(self.month, max(row["day"] for row in self.rows))
        place = {day: number for number, day in enumerate(days)}
        sums = {one: [Decimal(0)] * len(days) for one in shown}
        for row in self.rows:
            one = row[series] if series else ""
            line = sums.setdefault(one if one in shown else OTHERS, [Decimal(0)] * len(days))
            line[place[row["day"]]] += Decimal(row["spent_usd"])
        names = names or {}
        return Chart(
            days,
            [
                {"name": names.get(one, one), "spent": [f"{amount:f}" for amount in line]}
                for one, line in sums.items()
            ],
        )


async def spending(
    visit: Visit, org_id: str, month: str, groups: Sequence[str], *, user_id: str = ""
) -> Spending:
    """A month's usage of one organisation, or of all, summed by ``groups``. Raises ApiError."""
    asked = {"org_id": org_id, "month": month, "group_by": ",".join(groups), "user_id": user_id}
    return Spending(month, (await visit.get(path("usage"), asked))["data"])


def _days(month: str, last: str) -> list[str]:
    """Every day of the month, up to today in the current one."""
    year, number = (int(part) for part in month.split("-"))
    end = date(year, number, calendar.monthrange(year, number)[1]).isoformat()
    if month == current_month():
        end = max(datetime.fromtimestamp(time.time(), UTC).date().isoformat(), last)
    return [f"{month}-{day:02d}" for day in range(1, int(end[-2:]) + 1)]


def current_month() -> str:
    return f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m}"


def chosen_month(visit: Visit) -> str:
    """The month asked for; what is no month is the current one."""
    text = visit.query("month")
    try:
        datetime.strptime(text, "%Y-%m")
    except ValueError:
        return current_month()
    return text if len(text) == len("2026-11") else current_month()
