"""What a request costs: whole pico-USD, one ceiling division to nano-USD.

Pure. Prices are what :mod:`services.quota.prices` makes of the price data and the catalog.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

PICO_PER_NANO = 1_000


class Tokens(NamedTuple):
    """What a provider bills. The parts are inside their totals, as on the wire."""

    input: int = 0
    cached: int = 0
    written: int = 0
    audio: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    extra: int = 0

    def __str__(self) -> str:
        """The form the ledger keeps: eight numbers and spaces."""
        a, b, c, d, e, f, g, h = self
        return f"{a} {b} {c} {d} {e} {f} {g} {h}"


class Rates(NamedTuple):
    """Pico-USD per token of each kind. A kind without a price of its own has its total's."""

    input: int
    cached: int
    written: int
    audio: int
    output: int
    reasoning: int
    audio_output: int


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model. ``bands`` are (start, rates), ascending, the first one from 0: the last
    band with start < input tokens prices the whole request."""

    bands: tuple[tuple[int, Rates], ...]
    request: int = 0
    extra: int = 0
    prices_output: bool = True
    flat: Rates | None = field(init=False)
    """The rates of a price with one band."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "flat", self.bands[0][1] if len(self.bands) == 1 else None)

    def rates(self, input_tokens: int) -> Rates:
        found = self.bands[0][1]
        for start, rates in self.bands[1:]:
            if input_tokens > start:
                found = rates
        return found


class Bound(NamedTuple):
    """The most a request can cost: ``fixed`` pico-USD and ``output`` pico-USD per output token."""

    fixed: int
    output: int

    def nano(self, output_tokens: int) -> int:
        return to_nano(self.fixed + output_tokens * self.output)


def to_nano(pico: int) -> int:
    """Whole nano-USD, rounded up."""
    return -(-pico // PICO_PER_NANO)


def charge(price: Price, used: Tokens) -> int:
    """Nano-USD of what was used. Parts that are larger than their total count as the total; audio
    that may be cached, too, counts as audio."""
    tokens, cached, written, audio, output, reasoning, spoken, extra = used
    rates = price.flat or price.rates(tokens)
    audio = min(audio, tokens) if audio and rates.audio != rates.input else 0
    if cached > tokens - audio:
        cached = tokens - audio
    if written > tokens - audio - cached:
        written = tokens - audio - cached
    if reasoning > output:
        reasoning = output
    if spoken > output - reasoning:
        spoken = output - reasoning
    return to_nano(
        (tokens - audio - cached - written) * rates.input
        + cached * rates.cached
        + written * rates.written
        + audio * rates.audio
        + (output - reasoning - spoken) * rates.output
        + reasoning * rates.reasoning
        + spoken * rates.audio_output
        + price.request
        + extra * price.extra
    )


def dearest(price: Price, input_tokens: int) -> Rates:
    """The highest rate of each kind among the bands that so many input tokens can reach."""
    reachable = [rates for start, rates in price.bands if start == 0 or input_tokens > start]
    return Rates(*map(max, zip(*reachable, strict=True)))


def bound(price: Price, most: Tokens) -> Bound:
    """The most a request can cost whose input is at most ``most``: no discount for cached input, no
    tier cheaper than the dearest one it can reach. Output and reasoning cost the dearer of both."""
    tokens, _, _, audio, _, _, spoken, extra = most
    text, cached, written, heard, output, reasoning, said = price.flat or dearest(price, tokens)
    text = max(text, cached, written)
    audio = min(audio, tokens) if audio else 0
    return Bound(
        tokens * text
        + (audio * (heard - text) if heard > text else 0)
        + price.request
        + extra * price.extra,
        max(output, reasoning, said) if spoken else max(output, reasoning),
    )


def dearer(one: Price, other: Price) -> Price:
    """A price nowhere below either: for a request of which it is not known which one will apply."""
    starts = sorted({start for price in (one, other) for start, _ in price.bands})
    bands = tuple(
        (start, Rates(*map(max, one.rates(start + 1), other.rates(start + 1)))) for start in starts
    )
    return Price(
        bands=bands,
        request=max(one.request, other.request),
        extra=max(one.extra, other.extra),
        prices_output=one.prices_output and other.prices_output,
    )
