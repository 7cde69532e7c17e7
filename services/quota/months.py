"""Months of the budget: UTC, written "2026-11". Pure."""

import re
from datetime import UTC, date, datetime, timedelta

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def month_of(ms: int) -> str:
    """The month of Unix milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m")


def day_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def day_end_ms(day: str) -> int:
    """Unix milliseconds at which the day after ``day`` begins."""
    after = date.fromisoformat(day) + timedelta(days=1)
    return int(datetime(after.year, after.month, after.day, tzinfo=UTC).timestamp()) * 1000


def is_day(text: str) -> bool:
    return _DAY.fullmatch(text) is not None


def is_month(text: str) -> bool:
    return _MONTH.fullmatch(text) is not None


def number(month: str) -> int:
    """Months since year 0, for differences."""
    year, _, part = month.partition("-")
    return int(year) * 12 + int(part) - 1


def next_start_ms(month: str) -> int:
    """Unix milliseconds at which the month after ``month`` begins."""
    year, part = divmod(number(month) + 1, 12)
    return int(datetime(year, part + 1, 1, tzinfo=UTC).timestamp()) * 1000
