"""The rules of text, tokens and directives, for any input."""

from hypothesis import given
from hypothesis import strategies as st

from services.simulator.faults import BadDirective, Faults, from_header, from_text, merged
from services.simulator.words import clip, filler, pieces, seeded, tokens

TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT, st.integers(0, 50))
def test_a_clipped_text_is_a_beginning_within_its_limit(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert text.startswith(clipped)
    assert tokens(clipped) <= limit
    assert clipped == text or len(clipped.encode()) > 4 * limit - 4


@given(TEXT, st.none() | st.integers(1, 40))
def test_pieces_are_the_text(text: str, count: int | None) -> None:
    cut = pieces(text, count)
    assert "".join(cut) == text
    assert count is None or len(cut) == count


@given(st.integers(1, 500), st.text(st.characters(codec="utf-8")))
def test_filler_has_exactly_so_many_tokens(count: int, seed: str) -> None:
    assert tokens(filler(seeded(seed), count)) == count


@given(TEXT)
def test_a_message_without_a_directive_is_left_alone(text: str) -> None:
    if "[[sim" not in text:
        assert from_text(text) == (Faults(), text)


@given(st.text())
def test_any_directive_is_read_or_refused_in_words(text: str) -> None:
    for read in (lambda: from_header(text), lambda: from_text(f"[[sim {text}]]")):
        try:
            read()
        except BadDirective as error:
            assert str(error)


def test_a_message_and_its_directive_come_apart() -> None:
    faults, rest = from_text('  [[sim status=429; retry_after=2  text="a]] \\"b\\""]] tell me')
    assert (faults.status, faults.retry_after, faults.text) == (429, "2", 'a]] "b"')
    assert rest == "tell me"


def test_the_stronger_directive_wins_only_where_it_speaks() -> None:
    both = merged(Faults(status=500, drip=5), Faults(status=400))
    assert (both.status, both.drip) == (400, 5)
