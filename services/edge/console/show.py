"""Templates, and how amounts, times and counts are written for people."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

HERE = Path(__file__).parent


def environment() -> Environment:
    """Everything that is put into a page is escaped; a name a page does not have is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(usd=usd, count=count, when=when, day=day, month_name=month_name, mail=mail)
    made.globals.update(share=share, months=months, state=state)
    return made


def usd(amount: str | Decimal | None) -> str:
    """Exact, with two decimals at least: ``$1,250.00``, ``$0.000021``."""
    if amount is None:
        return "—"
    value = Decimal(amount)
    whole, _, fraction = f"{abs(value):f}".partition(".")
    sign = "-" if value < 0 else ""
    return f"{sign}${int(whole):,}.{fraction.rstrip('0').ljust(2, '0')}"


def count(number: int | None) -> str:
    return "—" if number is None else f"{number:,}"


def when(text: str | None, nothing: str = "—") -> Markup:
    """A time of the admin API as a ``time`` element, to the minute, with its zone."""
    if not text:
        return escape(nothing)
    moment = datetime.fromisoformat(text).astimezone(UTC)
    shown = f"{moment.day}\xa0{moment:%b\xa0%Y, %H:%M}\xa0UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, shown)


def mail(address: str) -> Markup:
    """An e-mail address that may be broken before its @, where a phone is narrow."""
    name, at, host = address.rpartition("@")
    return Markup("{}<wbr>{}{}").format(name, at, host) if at else escape(address)


def state(key: dict[str, Any], now: float) -> str:
    """A key's status; "expired" for one whose time is over."""
    until = key["expires_at"]
    over = until and datetime.fromisoformat(until).timestamp() <= now
    return "expired" if over and key["status"] == "active" else str(key["status"])


def day(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%b}"


def month_name(text: str) -> str:
    return f"{datetime.fromisoformat(text + '-01'):%B %Y}"


def months(now: float) -> list[str]:
    """This month and the twelve before it, newest first, as ``2026-11``."""
    moment = datetime.fromtimestamp(now, UTC)
    found = []
    for _ in range(13):
        found.append(f"{moment:%Y-%m}")
        moment = moment.replace(day=1) - timedelta(days=1)
    return found


def share(part: str | None, whole: str | None) -> int:
    """How much of a limit is used, in percent, 0 to 100."""
    if part is None or whole is None:
        return 0
    if Decimal(whole) <= 0:
        return 100
    return max(0, min(100, int(Decimal(part) * 100 / Decimal(whole))))
