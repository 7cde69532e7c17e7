from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.money import MAX_NANO_USD, from_usd, to_usd


@given(st.integers(min_value=0, max_value=MAX_NANO_USD))
def test_every_amount_survives_the_way_out_and_back(nano: int) -> None:
    assert from_usd(to_usd(nano)) == nano


@given(st.integers(min_value=-MAX_NANO_USD, max_value=MAX_NANO_USD))
def test_text_is_plain_decimal_without_exponent(nano: int) -> None:
    text = to_usd(nano)
    assert "e" not in text.lower()
    assert Decimal(text) * 10**9 == nano


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (-1, "negative"),
        ("-0.01", "negative"),
        (4_000_001, "at most"),
        ("0.0000000001", "nano-dollar"),
        ("ten", "amount in USD"),
        ("NaN", "finite"),
        (float("inf"), "finite"),
        (True, "amount in USD"),
        (None, "amount in USD"),
        ([1], "amount in USD"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_reason(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_usd(value)


def test_a_json_float_means_the_decimal_the_caller_wrote() -> None:
    assert from_usd(0.1) == 100_000_000
