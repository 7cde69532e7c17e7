"""Money as integers: nano-USD for amounts, pico-USD for unit prices, decimal strings outside."""

from decimal import Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000
MAX_USD = 4_000_000
"""Largest limit: spent + held + asked stays below 2**53 nano-USD, exact in Lua's doubles."""

MAX_NANO_USD = MAX_USD * NANO_PER_USD


def to_usd(nano: int) -> str:
    """Nano-USD as a plain decimal string: ``1_500_000_000`` is ``"1.5"``, ``123`` is
    ``"0.000000123"``."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def from_usd(value: object) -> int:
    """Nano-USD of an amount given as a JSON number or a decimal string.

    Raises ValueError with a sentence for the caller: not a number, negative, finer than a
    nano-dollar, or above ``MAX_USD``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError('must be an amount in USD, for example 25 or "0.50"')
    text = repr(value) if isinstance(value, float) else str(value).strip()
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError('must be an amount in USD, for example 25 or "0.50"') from None
    if not amount.is_finite():
        raise ValueError("must be a finite amount in USD")
    if amount < 0:
        raise ValueError("must not be negative")
    if amount > MAX_USD:
        raise ValueError(f"must be at most {MAX_USD} USD per month")
    nano = amount * NANO_PER_USD
    if nano != nano.to_integral_value():
        raise ValueError("must not be finer than a nano-dollar (nine decimals)")
    return int(nano)
