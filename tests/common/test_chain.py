"""Whatever is done to a stored trail, the verifier sees it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.common.chain import Head, Verifier, link

Stored = list[tuple[str, str, str]]


def trail(times: list[int]) -> tuple[Stored, Head]:
    head, stored = Head(), []
    for number, time in enumerate(times):
        text, head = link(head, {"action": "x", "target": f"t{number}"}, time)
        stored.append((head.entry_id, text, head.hash))
    return stored, head


def breaks(stored: Stored, head: Head) -> list[str]:
    verifier = Verifier()
    for one in stored:
        verifier.feed(*one)
    return verifier.finish(head)


times = st.lists(st.integers(1, 5), min_size=2, max_size=12)


@given(times)
def test_a_trail_as_written_is_whole_and_its_ids_grow(given_times: list[int]) -> None:
    stored, head = trail(given_times)
    assert breaks(stored, head) == []
    places = [tuple(map(int, place.split("-"))) for place, _, _ in stored]
    assert places == sorted(set(places))
    assert Head.parse(head.text()) == head


@given(times, st.data())
def test_any_removal_is_seen(given_times: list[int], data: st.DataObject) -> None:
    stored, head = trail(given_times)
    kept = data.draw(st.lists(st.booleans(), min_size=len(stored), max_size=len(stored)))
    left = [one for one, keep in zip(stored, kept, strict=True) if keep]
    assert (breaks(left, head) == []) is all(kept)


@given(times, st.data())
def test_any_reordering_is_seen(given_times: list[int], data: st.DataObject) -> None:
    stored, head = trail(given_times)
    shuffled = data.draw(st.permutations(stored))
    assert (breaks(shuffled, head) == []) is (shuffled == stored)


@given(times, st.data())
def test_any_edit_is_seen_even_with_its_hash_made_anew(
    given_times: list[int], data: st.DataObject
) -> None:
    stored, head = trail(given_times)
    place = data.draw(st.integers(0, len(stored) - 1))
    entry_id, _, digest = stored[place]
    previous = stored[place - 1][2] if place else ""
    forged, after = link(
        Head(place, stored[place - 1][0] if place else "0-0", previous),
        {"action": "x", "target": "forged"},
        int(entry_id.split("-")[0]),
    )
    stored[place] = (entry_id, forged, data.draw(st.sampled_from([digest, after.hash])))
    assert breaks(stored, head)
