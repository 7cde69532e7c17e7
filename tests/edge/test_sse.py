"""Events are cut, watched and withheld on bytes, however they arrive."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge import sse
from services.edge.mend import mender
from services.edge.sse import EventTooLong, Sieve
from services.edge.usage import Meter

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def event(document: Any, eol: str = "\n") -> bytes:
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return f"data: {text}{eol}{eol}".encode()


def chunk(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], **more}


def run(pieces: list[bytes], *, withhold: bool) -> tuple[bytes, Meter, Sieve]:
    meter = Meter()
    sieve = Sieve(meter, withhold=withhold)
    passed = b"".join(sieve.feed(piece) for piece in pieces)
    passed += sieve.rest()
    meter.passed(passed)
    return passed, meter, sieve


EOLS = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=8)


@given(st.data(), TEXTS, EOLS)
def test_r11_a_stream_cut_anywhere_is_the_same(data: Any, texts: list[str], eol: str) -> None:
    events = [event(chunk(text), eol) for text in texts]
    raw = b"".join([*events, event({"choices": [], "usage": USAGE}, eol), event("[DONE]", eol)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]

    passed, meter, sieve = run(pieces, withhold=False)
    assert passed == raw
    assert sieve.done
    assert meter.seen is not None
    assert (meter.seen.input, meter.seen.output) == (7, 3)
    assert meter.count() == max(
        sum(bool(text) for text in texts), -(-len("".join(texts).encode()) // 4)
    )

    withheld, meter, _ = run(pieces, withhold=True)
    expected = b"".join([*events, event("[DONE]", eol)])
    # A line end cut in two may leave an empty line behind, which means nothing between events.
    assert withheld.translate(None, b"\r\n") == expected.translate(None, b"\r\n")
    assert meter.seen is not None


def test_usage_null_is_taken_out_wherever_it_stands() -> None:
    for raw in (
        b'data: {"a":1,"usage":null,"b":2}\n\n',
        b'data: {"usage" : null , "a":1,"b":2}\n\n',
        b'data: {"a":1,"b":2, "usage": null}\n\n',
    ):
        passed, _, _ = run([raw], withhold=True)
        assert json.loads(passed[6:]) == {"a": 1, "b": 2}
        assert run([raw], withhold=False)[0] == raw


def test_usage_inside_a_text_stays() -> None:
    raw = event(chunk('say "usage":null and ,"usage":null'))
    assert run([raw], withhold=True)[0] == raw


def test_a_chunk_with_choices_and_usage_is_never_withheld() -> None:
    raw = event(chunk("Hi", usage=USAGE))
    passed, meter, _ = run([raw], withhold=True)
    assert passed == raw
    assert meter.seen is not None


def test_groq_usage_beside_a_null_is_seen() -> None:
    raw = event({"choices": [], "usage": None, "x_groq": {"usage": USAGE}})
    for withhold in (False, True):
        _, meter, _ = run([raw], withhold=withhold)
        assert meter.seen is not None
        assert meter.seen.output == 3


def test_data_over_several_lines_is_one_document() -> None:
    raw = b'data: {"choices":\ndata: [{"delta":{"content":"abcdefgh"}}]}\n\n'
    passed, meter, _ = run([raw], withhold=False)
    assert passed == raw
    assert (meter.count(), meter.deltas) == (2, 1)


def test_done_inside_a_text_is_not_the_end() -> None:
    _, _, sieve = run([event(chunk("data: [DONE]"))], withhold=False)
    assert not sieve.done
    for end in (b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b": x\n\ndata: [DONE]\n\n"):
        assert run([end], withhold=False)[2].done


@given(st.sampled_from(["data: ", "data:", "event: x\ndata: ", ": ", ""]), st.text(), st.booleans())
def test_a_plain_event_is_one_that_nobody_changes(before: str, text: str, null: bool) -> None:
    found = {**chunk(text), "usage": None} if null else chunk(text)
    for raw in (f"{before}{json.dumps(found)}\n\n".encode(), f"{before}{text}}}\n\n".encode()):
        sieve = Sieve(Meter(), withhold=True, mend=mender(False))
        if sse.plain(raw):
            assert (sieve.feed(raw), sieve.held, sieve.done) == (raw, 0, False)


def test_one_event_of_data_is_plain() -> None:
    assert sse.plain(event(chunk("Hello")))
    assert not sse.plain(event({**chunk("Hello"), "usage": USAGE}))
    assert not sse.plain(event(chunk("Hello")) * 2)
    assert not sse.plain(event("[DONE]"))


def test_half_an_event_at_the_end_is_dropped_and_a_whole_one_completed() -> None:
    whole = event(chunk("Hi"))
    assert run([whole + b'data: {"choices":[{"del'], withhold=False)[0] == whole
    assert run([whole[:-2]], withhold=False)[0] == whole
    assert run([b"data: [DONE]"], withhold=False)[0] == b"data: [DONE]\n\n"


def test_an_event_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1_000)
    sieve = Sieve(Meter(), withhold=False)
    with pytest.raises(EventTooLong):
        for _ in range(20):
            sieve.feed(b"x" * 100)


def test_a_long_line_in_small_pieces_costs_no_quadratic_time() -> None:
    raw = event(chunk("x" * (4 << 20)))
    pieces = [raw[i : i + 4_096] for i in range(0, len(raw), 4_096)]
    passed, meter, _ = run(pieces, withhold=True)
    assert passed == raw
    assert meter.count() == 1 << 20


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_it_fail_or_lose_whole_events(raw: bytes, withhold: bool) -> None:
    passed, meter, _ = run([raw[:50], raw[50:]], withhold=withhold)
    meter.count()
    if b'"usage"' not in raw and raw.endswith(b"\n\n"):
        assert passed == raw
