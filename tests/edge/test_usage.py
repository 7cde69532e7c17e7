"""What a provider's usage means, and what is charged where it means nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.charge import Charge, final_charge
from services.edge.usage import (
    BadUsage,
    Meter,
    Tokens,
    find_usage,
    parse_usage,
    text_size,
)

GOOD: list[tuple[dict[str, Any], Tokens]] = [
    ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, Tokens(5, 2)),
    ({"prompt_tokens": 5, "completion_tokens": 2}, Tokens(5, 2)),
    ({"prompt_tokens": 5, "total_tokens": 5}, Tokens(5, 0)),
    ({"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}, Tokens(5, 2)),
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Tokens()),
    # Thinking that stands in the total only.
    ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 17}, Tokens(5, 12)),
    (
        {
            "prompt_tokens": 50,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 3},
        },
        Tokens(50, 20, cached_input=30, audio_input=4, reasoning_output=15, audio_output=3),
    ),
    (
        {"prompt_tokens": 50, "completion_tokens": 1, "prompt_cache_hit_tokens": 40},
        Tokens(50, 1, cached_input=40),
    ),
    (
        {
            "input_tokens": 50,
            "output_tokens": 1,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 20},
            "output_tokens_details": {"reasoning_tokens": 1},
        },
        Tokens(50, 1, cached_input=10, cache_write_input=20, reasoning_output=1),
    ),
    # Details are parts: they are never more than their total.
    (
        {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
        Tokens(5, 2, cached_input=5),
    ),
    ({"prompt_tokens": None, "completion_tokens": None}, Tokens()),
]


@pytest.mark.parametrize(("usage", "tokens"), GOOD)
def test_usage_is_read_in_every_spelling(usage: dict[str, Any], tokens: Tokens) -> None:
    assert parse_usage(usage) == tokens


@pytest.mark.parametrize("value", [-1, 1.0, True, "5", 2**31 + 1, [], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_what_is_no_number_of_tokens_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadUsage):
        parse_usage({"prompt_tokens": 5, "completion_tokens": 2, name: value})


def test_a_total_below_its_parts_is_refused() -> None:
    with pytest.raises(BadUsage):
        parse_usage({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 6})


@given(st.dictionaries(st.sampled_from(["prompt_tokens", "usage", "total_tokens"]), st.none()))
def test_usage_is_found_or_not_but_never_fails(document: dict[str, Any]) -> None:
    assert find_usage(document) is None or isinstance(find_usage(document), dict)


def test_running_totals_are_not_summed_and_split_fields_are_joined() -> None:
    meter = Meter()
    for usage in (
        {"prompt_tokens": 9, "completion_tokens": 0},
        {"prompt_tokens": 0, "completion_tokens": 4},
        {"prompt_tokens": 9, "completion_tokens": 6},
    ):
        meter.see(usage)
    assert meter.seen == Tokens(9, 6)


def test_the_count_is_of_what_the_model_wrote() -> None:
    assert text_size({"role": "assistant", "content": "abcd", "tool_calls": None}) == 4
    call = {"index": 0, "id": "call_1", "type": "function"}
    assert text_size({"tool_calls": [{**call, "function": {"arguments": '{"a":1}'}}]}) == 7
    assert text_size({"reasoning_content": "abc", "refusal": "d\u00e9"}) == 6


def meter(**facts: Any) -> Meter:
    made = Meter()
    for name, value in facts.items():
        setattr(made, name, value)
    return made


TABLE: list[tuple[str, Meter, bool, Charge]] = [
    ("valid usage", meter(seen=Tokens(5, 7)), True, Charge(Tokens(5, 7))),
    ("explicit zero", meter(seen=Tokens()), True, Charge(Tokens())),
    (
        "no usage at a normal end",
        meter(deltas=3, text_bytes=8),
        True,
        Charge(Tokens(11, 3), flags=("estimated",)),
    ),
    (
        "malformed usage",
        meter(bad=True, deltas=3),
        True,
        Charge(Tokens(11, 3), flags=("anomaly",)),
    ),
    (
        "cut with usage seen",
        meter(seen=Tokens(5, 7), deltas=2),
        False,
        Charge(Tokens(5, 7), flags=("partial",)),
    ),
    (
        "cut with the first usage only",
        meter(seen=Tokens(5, 1), deltas=9),
        False,
        Charge(Tokens(5, 9), flags=("partial",)),
    ),
    (
        "cut without usage",
        meter(deltas=2, text_bytes=40),
        False,
        Charge(Tokens(11, 10), flags=("estimated", "partial")),
    ),
    ("failed before any delta", meter(failed=True), False, Charge(Tokens(), billable=False)),
    (
        "failed after deltas",
        meter(failed=True, deltas=1),
        False,
        Charge(Tokens(11, 1), flags=("estimated", "partial")),
    ),
]


@pytest.mark.parametrize(("case", "counted", "complete", "charge"), TABLE)
def test_the_charge_follows_the_table(
    case: str, counted: Meter, complete: bool, charge: Charge
) -> None:
    assert final_charge(counted, 11, complete=complete) == charge
