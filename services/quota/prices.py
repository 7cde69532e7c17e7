"""Unit prices of ``provider/model``: the price data of genai-prices, and the catalog over it.

The data lies in the installed package; nothing is fetched from the network.
"""

from collections import OrderedDict
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelPrice, TieredPrices

from services.quota.catalog import Catalog
from services.quota.pricing import Price, Rates, dearer

_PICO_PER_USD_PER_MTOK = 1_000_000
_PICO_PER_USD_PER_THOUSAND = 1_000_000_000
_MAX_KNOWN = 10_000
_SLICE_MS = 30 * 60_000
"""Prices may depend on date and time of day; all requests of a half hour have the same one."""

_CONTEXTS = {
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast"},
    "batch": {"processing": "batch"},
}


class Unpriced(Exception):
    """Neither the price data nor the catalog prices the model. The text says what to add where."""


class PriceBook:
    """Prices by model, service tier and time; remembers what it found, and what it did not."""

    def __init__(self, catalog: Catalog, snapshot: DataSnapshot) -> None:
        self._catalog = catalog
        self._snapshot = snapshot
        self._known: OrderedDict[tuple[str, str, int, bool], Price | None] = OrderedDict()

    def price(self, model: str, tier: str, at_ms: int) -> Price:
        """What a request costs that was admitted at ``at_ms``. Raises Unpriced."""
        known = self._known.get((model, tier, at_ms // _SLICE_MS, False))
        return known or self._find(model, tier, at_ms, False)

    def ceiling(self, model: str, tier: str, at_ms: int) -> Price:
        """A price that neither the asked service tier nor the standard one exceeds: providers may
        serve a request at another tier than asked. Raises Unpriced."""
        if not tier:
            return self.price(model, tier, at_ms)
        return self._find(model, tier, at_ms, True)

    def dearest(self, model: str, at_ms: int) -> Price:
        """A price that no service tier exceeds. Raises Unpriced."""
        found = self.price(model, "", at_ms)
        for tier in _CONTEXTS:
            found = dearer(found, self.price(model, tier, at_ms))
        return found

    def unpriced(self, model: str) -> Unpriced:
        return Unpriced(
            f'{model} has no price: add [[models]] with match = "{model}", '
            'input_usd_per_mtok = "…" and output_usd_per_mtok = "…" ("0" is allowed) '
            f"to {self._catalog.path}"
        )

    def _find(self, model: str, tier: str, at_ms: int, highest: bool) -> Price:
        part = at_ms // _SLICE_MS
        name = (model, tier if tier in _CONTEXTS else "", part, highest)
        if name in self._known:
            found = self._known[name]
        else:
            at = datetime.fromtimestamp(part * _SLICE_MS / 1000, UTC)
            found = self._highest(model, tier, at) if highest else self._resolve(model, tier, at)
            self._known[name] = found
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        if found is None:
            raise self.unpriced(model)
        return found

    def _highest(self, model: str, tier: str, at: datetime) -> Price | None:
        asked, standard = self._resolve(model, tier, at), self._resolve(model, "", at)
        return dearer(asked, standard) if asked and standard else None

    def _resolve(self, model: str, tier: str, at: datetime) -> Price | None:
        override = self._catalog.override(model)
        listed = None if {"input", "output"} <= override.keys() else self._listed(model, tier, at)
        if listed is None and not {"input", "output"} <= override.keys():
            return None
        return _price(listed or ModelPrice(), override)

    def _listed(self, model: str, tier: str, at: datetime) -> ModelPrice | None:
        provider, _, name = model.partition("/")
        try:
            _, info = self._snapshot.find_provider_model(
                name, None, self._catalog.price_name(provider), None
            )
        except LookupError:
            return None
        found = info.get_prices(at, _CONTEXTS.get(tier))
        return found if found.input_mtok is not None or found.output_mtok is not None else None


def _price(listed: ModelPrice, override: dict[str, int]) -> Price:
    starts = {0}
    for value in vars(listed).values():
        if isinstance(value, TieredPrices):
            starts.update(tier.start for tier in value.tiers)
    return Price(
        bands=tuple((start, _rates(listed, override, start)) for start in sorted(starts)),
        request=override.get("request", _per_thousand(listed.requests_kcount)),
        extra=override.get("extra", _per_thousand(listed.web_searches_kcount)),
        prices_output="output" in override or listed.output_mtok is not None,
    )


def _rates(listed: ModelPrice, override: dict[str, int], start: int) -> Rates:
    def rate(kind: str, *names: str) -> int | None:
        if kind in override:
            return override[kind]
        found = [_per_token(getattr(listed, name), start) for name in names]
        # Images and video are not counted apart on the wire: they set the price of their side.
        return max((value for value in found if value is not None), default=None)

    input_rate = rate("input", "input_mtok", "input_image_mtok", "input_video_mtok") or 0
    output = rate("output", "output_mtok", "output_image_mtok", "output_video_mtok")
    output_rate = input_rate if output is None else output

    def part(kind: str, whole: int, name: str) -> int:
        found = rate(kind, name)
        return whole if found is None else found

    return Rates(
        input=input_rate,
        cached=part("cached", input_rate, "cache_read_mtok"),
        written=part("written", input_rate, "cache_write_mtok"),
        audio=part("audio", input_rate, "input_audio_mtok"),
        output=output_rate,
        reasoning=part("reasoning", output_rate, "output_reasoning_mtok"),
        audio_output=part("audio_output", output_rate, "output_audio_mtok"),
    )


def _per_token(value: Decimal | TieredPrices | None, start: int) -> int | None:
    """Pico-USD per token for requests just above ``start`` input tokens."""
    if isinstance(value, TieredPrices):
        applies = value.base
        for tier in value.tiers:
            if start >= tier.start:
                applies = tier.price
        value = applies
    if value is None:
        return None
    return int((value * _PICO_PER_USD_PER_MTOK).to_integral_value(ROUND_CEILING))


def _per_thousand(value: Decimal | TieredPrices | None) -> int:
    if isinstance(value, TieredPrices):
        value = max([value.base, *(tier.price for tier in value.tiers)])
    if value is None:
        return 0
    return int((value * _PICO_PER_USD_PER_THOUSAND).to_integral_value(ROUND_CEILING))
