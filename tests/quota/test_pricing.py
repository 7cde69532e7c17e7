"""Prices: exact, rounded up once, never below what the price data says."""

import tomllib
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices, Usage
from hypothesis import given
from hypothesis import strategies as st

from services.common.settings import SettingsError
from services.quota import catalog
from services.quota.prices import PriceBook, Unpriced
from services.quota.pricing import Bound, Price, Rates, Tokens, bound, charge, dearest, to_nano
from tests.quota.rpc import prices

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT_MS = int(AT.timestamp()) * 1000
NANO = Decimal(10**9)
KNOWN = {
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "input_audio_mtok",
    "output_audio_mtok",
    "output_reasoning_mtok",
    "requests_kcount",
    "web_searches_kcount",
    "storage_searches_kcount",
    # Of a kind the wire does not count: never charged, in their library neither.
    "cache_write_1h_mtok",
    "cache_audio_read_mtok",
}
USAGES = (
    Tokens(0, 0, 0, 0, 0),
    Tokens(input=1, output=1),
    Tokens(input=1_234, output=567),
    Tokens(input=10_000, cached=4_096, output=3, reasoning=2),
    Tokens(input=10_000, cached=4_000, written=3_000, output=900, reasoning=333),
    Tokens(input=199_999, output=10),
    Tokens(input=200_000, cached=128_000, output=10),
    Tokens(input=200_001, cached=128_000, output=10),
    Tokens(input=272_001, output=100_000),
    Tokens(input=1_000_000, written=1, output=65_536),
)


def plain(found: ModelPrice) -> bool:
    """Whether the wire counts all that this model is billed by, in whole pico-USD a token."""
    for name, value in vars(found).items():
        if value is None:
            continue
        tiers = value.tiers if isinstance(value, TieredPrices) else []
        amounts = [value.base if isinstance(value, TieredPrices) else value]
        amounts += [tier.price for tier in tiers]
        if name not in KNOWN or any(a * 10**6 != int(a * 10**6) for a in amounts):
            return False
    return found.input_mtok is not None and found.output_mtok is not None


def models() -> list[tuple[str, Any, Any]]:
    found = []
    for provider in get_snapshot().providers:
        if provider.id in ("openai", "anthropic", "google", "x-ai", "groq", "mistral",
                           "deepseek", "cloudflare", "azure"):  # fmt: skip
            for model in provider.models:
                if plain(model.get_prices(AT)):
                    found.append((f"{provider.id}/{model.id}", provider, model))
    return found


def empty_catalog(**names: str) -> catalog.Catalog:
    return catalog.Catalog("models.toml", names, ())


def test_charges_equal_the_price_library_to_the_nano_dollar() -> None:
    book = PriceBook(empty_catalog(), get_snapshot())
    checked = 0
    for name, provider, model in models():
        if provider.find_model(model.id) is not model:
            continue  # Another entry answers to this id.
        price = book.price(name, "", AT_MS)
        for used in USAGES:
            usage = Usage(
                input_tokens=used.input,
                cache_read_tokens=used.cached,
                cache_write_tokens=used.written,
                output_tokens=used.output,
                output_reasoning_tokens=used.reasoning,
            )
            theirs = model.calc_price(usage, provider, genai_request_timestamp=AT).total_price
            exact = (theirs * NANO).to_integral_value(ROUND_CEILING)
            assert charge(price, used) == exact, (name, used)
            checked += 1
    assert checked > 2_500


@pytest.mark.parametrize("tier", ["flex", "priority", "batch"])
def test_service_tiers_are_priced_as_the_library_prices_them(tier: str) -> None:
    book = PriceBook(empty_catalog(), get_snapshot())
    provider, model = get_snapshot().find_provider_model("gpt-5-mini", None, "openai", None)
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    usage = Usage(input_tokens=1_000, cache_read_tokens=100, output_tokens=50)
    theirs = model.calc_price(
        usage, provider, genai_request_timestamp=AT, price_context=context
    ).total_price
    used = Tokens(input=1_000, cached=100, output=50)
    assert charge(book.price("openai/gpt-5-mini", tier, AT_MS), used) == theirs * NANO
    assert charge(book.price("openai/gpt-5-mini", "", AT_MS), used) != theirs * NANO
    ceiling = book.ceiling("openai/gpt-5-mini", tier, AT_MS)
    standard = book.price("openai/gpt-5-mini", "", AT_MS)
    assert charge(ceiling, used) == max(theirs * NANO, charge(standard, used))


rates = st.builds(Rates, *[st.integers(0, 10**9)] * 7)
tokens = st.integers(0, 3_000_000)
price_lists = st.builds(
    Price,
    bands=st.tuples(st.tuples(st.just(0), rates), st.tuples(st.just(200_000), rates)),
    request=st.integers(0, 10**9),
    extra=st.integers(0, 10**9),
)


@given(price_lists, *[tokens] * 7, st.integers(0, 50), st.integers(0, 1_000_000))
def test_no_usage_within_its_bound_costs_more_than_the_bound(
    price: Price, i: int, c: int, w: int, a: int, o: int, r: int, s: int, x: int, unused: int
) -> None:
    used = Tokens(i, c, w, a, o, r, s, x)
    most = Tokens(input=i + unused, audio=a, output=o, audio_output=s, extra=x)
    assert charge(price, used) <= bound(price, most).nano(o)


@given(price_lists, tokens, tokens)
def test_parts_larger_than_their_total_count_as_the_total(price: Price, i: int, o: int) -> None:
    within = charge(price, Tokens(i, i, 0, 0, o, o))
    assert charge(price, Tokens(i, i + 1, i + 5, 0, o, o + 7, 9)) == within


@given(st.integers(0, 10**24))
def test_pico_becomes_nano_rounded_up_once(pico: int) -> None:
    assert to_nano(pico) == (Decimal(pico) / 1000).to_integral_value(ROUND_CEILING)
    assert 0 <= to_nano(pico) * 1000 - pico < 1000


def test_the_bound_of_a_long_prompt_is_priced_at_its_long_context_tier() -> None:
    book = PriceBook(empty_catalog(), get_snapshot())
    price = book.price("google/gemini-2.5-pro", "", AT_MS)
    assert bound(price, Tokens(input=200_000)).output == 10_000_000
    assert bound(price, Tokens(input=200_001)).output == 15_000_000
    assert bound(price, Tokens(input=200_001)).fixed == 200_001 * 2_500_000
    assert dearest(price, 10).output == 10_000_000
    assert Bound(1, 999).nano(1) == 1


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("workers-ai/@cf/meta/llama-3.1-8b-instruct", "cloudflare"),
        ("google-ai-studio/gemini-2.5-pro", "google"),
        ("grok/grok-4", "x-ai"),
        ("perplexity-ai/sonar", "perplexity"),
        ("perplexity/sonar", "perplexity"),
        ("openai/gpt-5-mini", "openai"),
        ("anthropic/claude-sonnet-4-5", "anthropic"),
        ("openrouter/anthropic/claude-sonnet-4.5", "openrouter"),
    ],
)
def test_cloudflare_names_find_their_prices(name: str, listed: str) -> None:
    price = PriceBook(empty_catalog(), get_snapshot()).price(name, "", AT_MS)
    _, model = get_snapshot().find_provider_model(name.partition("/")[2], None, listed, None)
    assert price.rates(1).input >= int(_base(model.get_prices(AT).input_mtok) * 10**6)


def test_a_model_without_a_price_names_the_line_to_add() -> None:
    book = prices()
    for model in ("openai/gpt-99-ultra", "ollama/llama", "bare", "openai/"):
        with pytest.raises(Unpriced, match=f'match = "{model}".*catalog.toml'):
            book.price(model, "", AT_MS)


def test_the_catalog_goes_before_the_price_data() -> None:
    book = prices()
    own = book.price("openai/gpt-5-mini", "", AT_MS)
    assert (own.rates(1).cached, own.request) == (200_000, 100_000_000)
    assert own.rates(1).input == 250_000
    assert charge(book.price("simulator/free-for-all", "", AT_MS), Tokens(input=10**6)) == 0
    assert charge(book.price("simulator/echo", "", AT_MS), Tokens(input=1, output=1)) == 3_000
    assert book.price("mirror/gpt-5-mini", "", AT_MS).rates(1).cached == 25_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[models]]\nmatch = "a/b"\ninput_usd_per_mtk = "1"', "unknown key input_usd_per_mtk"),
        ('[[models]]\nmatch = "a/b"\ninput_usd_per_mtok = 0.1', "must be a decimal string"),
        ('[[models]]\nmatch = "a/b"\ninput_usd_per_mtok = "-1"', "0 or more"),
        ('[[models]]\nmatch = "a/b"\ninput_usd_per_mtok = "NaN"', "0 or more"),
        ('[[models]]\ninput_usd_per_mtok = "1"', "no match"),
        ("[[models", "is not TOML"),
    ],
)
def test_a_catalog_that_cannot_be_priced_by_is_refused(
    tmp_path: Any, text: str, complaint: str
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        catalog.load(str(path))
    with pytest.raises(SettingsError, match="cannot read"):
        catalog.load(str(tmp_path / "absent.toml"))


def _base(price: Any) -> Decimal:
    return price.base if isinstance(price, TieredPrices) else price


def test_every_model_that_the_shipped_catalog_lists_has_a_price() -> None:
    path = Path(__file__).parent.parent.parent / "deploy" / "models.toml"
    book = PriceBook(catalog.load(str(path)), get_snapshot())
    entries = tomllib.loads(path.read_text())["models"]
    listed = [entry["match"] for entry in entries if "*" not in entry["match"]]
    assert len(listed) > 5
    for model in listed:
        assert book.price(model, "", AT_MS).rates(1).output >= 0
        assert book.dearest(model, AT_MS).rates(1).input > 0
