"""Keys of our own making are told from mistyped ones without asking anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import secret
from services.common.ids import ALPHABET


@pytest.mark.parametrize("prefix", [secret.API_KEY, secret.ADMIN_KEY])
def test_a_minted_key_is_well_formed(prefix: str) -> None:
    made = {secret.mint(prefix) for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) == len(prefix) + 38 and secret.well_formed(key) for key in made)


@given(st.integers(0, 45), st.sampled_from(ALPHABET))
def test_any_single_mistyped_character_is_seen(place: int, letter: str) -> None:
    key = secret.mint(secret.API_KEY)
    other = key[:place] + letter + key[place + 1 :]
    assert secret.well_formed(other) is (other == key)


@pytest.mark.parametrize(
    "text", ["", "gw_live_", "sk-" + "a" * 43, "gw_live_" + "0" * 38, "gw_live_" + "é" * 38]
)
def test_what_was_never_minted_is_not_well_formed(text: str) -> None:
    assert not secret.well_formed(text)


def test_a_known_key_keeps_its_checksum_and_hash() -> None:
    key = "gw_live_" + "A" * 32
    assert secret.well_formed(key + "1xBxNv")
    assert not secret.well_formed(key + "1xBxNw")
    assert secret.digest("abc").startswith("ba7816bf8f01cfea")
