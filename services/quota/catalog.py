"""What quota reads of the catalog (``GATEWAY_CATALOG``): prices, and how providers are called in
the price data. The edge reads the rest."""

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import translate
from pathlib import Path
from typing import Any

from services.common.settings import SettingsError

PER_MTOK = {
    "input_usd_per_mtok": "input",
    "cached_input_usd_per_mtok": "cached",
    "cache_write_usd_per_mtok": "written",
    "audio_input_usd_per_mtok": "audio",
    "output_usd_per_mtok": "output",
    "reasoning_usd_per_mtok": "reasoning",
    "audio_output_usd_per_mtok": "audio_output",
}
PER_UNIT = {"request_usd": "request", "extra_unit_usd": "extra"}

_PICO_PER_USD_PER_MTOK = 1_000_000
_PICO_PER_USD = 1_000_000_000_000

_PRICE_NAMES = {
    "workers-ai": "cloudflare",
    "google-ai-studio": "google",
    "google-vertex-ai": "google",
    "grok": "x-ai",
    "perplexity-ai": "perplexity",
    "azure-openai": "azure",
    "aws-bedrock": "aws",
}
"""Cloudflare's provider prefixes that the price data spells otherwise."""


@dataclass(frozen=True, slots=True)
class Override:
    """Prices of the models that match, pico-USD per token or unit, by the names of ``Rates``."""

    pattern: re.Pattern[str]
    prices: dict[str, int]


@dataclass(frozen=True, slots=True)
class Catalog:
    path: str
    price_names: dict[str, str]
    overrides: tuple[Override, ...]

    def override(self, model: str) -> dict[str, int]:
        """The prices the first matching entry gives ``provider/model``; empty without any."""
        for entry in self.overrides:
            if entry.pattern.match(model):
                return entry.prices
        return {}

    def price_name(self, provider: str) -> str:
        """The provider's name in the price data."""
        return self.price_names.get(provider) or _PRICE_NAMES.get(provider, provider)


def load(path: str) -> Catalog:
    """Raises SettingsError with one line that names the entry."""
    try:
        data = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"GATEWAY_CATALOG: cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"GATEWAY_CATALOG: {path} is not TOML: {error}") from None
    names = {
        name: str(provider["price_as"])
        for name, provider in data.get("providers", {}).items()
        if "price_as" in provider
    }
    overrides = tuple(_override(path, entry) for entry in data.get("models", []))
    return Catalog(path, names, overrides)


def _override(path: str, entry: dict[str, Any]) -> Override:
    match = entry.get("match")
    if not isinstance(match, str):
        raise SettingsError(f'{path}: an entry of [[models]] has no match = "provider/pattern"')
    known = PER_MTOK | PER_UNIT
    prices = {}
    for name, value in entry.items():
        if "usd" not in name:
            continue
        if name not in known:
            raise SettingsError(f"{path}: {match}: unknown key {name}; known: {', '.join(known)}")
        scale = _PICO_PER_USD_PER_MTOK if name in PER_MTOK else _PICO_PER_USD
        prices[known[name]] = _pico(f"{path}: {match}: {name}", value, scale)
    # Only * is special, as in allowed models.
    text = match.replace("[", "[[]").replace("?", "[?]")
    return Override(re.compile(translate(text)), prices)


def _pico(where: str, value: object, scale: int) -> int:
    if not isinstance(value, str):
        raise SettingsError(f'{where} must be a decimal string, for example "0.15"')
    try:
        amount = Decimal(value) * scale
    except InvalidOperation:
        raise SettingsError(f'{where} must be a decimal string, for example "0.15"') from None
    if not amount.is_finite() or amount < 0 or amount > 10**15:
        raise SettingsError(f"{where} must be an amount in USD, 0 or more")
    return int(amount.to_integral_value(rounding="ROUND_CEILING"))
