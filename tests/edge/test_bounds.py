"""The bound is never exceeded, and not absurdly high."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.bounds import IMAGE, Bound, chat_bound
from services.edge.catalog import Provider, Target
from services.edge.chat import read_chat
from services.edge.errors import ApiError


def target(model: str, longest: int) -> Target:
    return Target(Provider("p", "openai", "https://p.example"), model, model, longest)


def bound(ascii_only: bool = False, model: str = "openai/gpt-5", **fields: Any) -> Bound:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    return chat_bound(read_chat(raw), target(model, 10_000), 4_096)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1, max_size=5), st.booleans())
def test_every_byte_of_text_is_a_token_at_most(texts: list[str], ascii_only: bool) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    size = sum(len(text.encode()) for text in texts)
    assert bound(ascii_only, messages=messages).most.input >= size + 16 * len(texts)


@given(TEXT)
def test_tools_and_schemas_count_as_text(text: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": text}}
    plain, tooled = bound().most.input, bound(tools=[tool]).most.input
    assert tooled - plain >= len(text.encode())


def image(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def test_an_image_counts_as_an_image_and_not_as_its_letters() -> None:
    near = bound(messages=image("https://example.com/a.png")).most.input
    inline = bound(messages=image("data:image/png;base64," + "A" * 500_000)).most.input
    assert IMAGE <= inline <= near < IMAGE + 500
    mini = bound(model="openai/gpt-4o-mini", messages=image("data:,")).most.input
    assert mini >= 48_169


def test_audio_counts_by_its_length() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "A" * 160_000, "format": "mp3"}}
    found = bound(messages=[{"role": "user", "content": [part]}]).most
    assert found.audio_input >= 10_000
    assert found.audio_input < found.input < 12_000


def test_a_file_counts_by_its_bytes() -> None:
    part = {"type": "file", "file": {"file_data": "A" * 5_000}}
    assert bound(messages=[{"role": "user", "content": [part]}]).most.input >= 5_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": "x"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file_id": "file-1"},
        {"type": 5},
    ],
)
def test_what_cannot_be_bounded_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as raised:
        bound(messages=[{"role": "user", "content": [part]}])
    assert (raised.value.status, raised.value.code) == (400, "cannot_price_input")


OUTPUT: list[tuple[dict[str, Any], tuple[int, int, bool]]] = [
    ({"max_tokens": 50}, (50, 50, False)),
    ({"max_completion_tokens": 50, "n": 3}, (150, 150, False)),
    ({"max_tokens": 9, "max_completion_tokens": 50}, (50, 50, False)),
    ({"max_tokens": 50, "stream": True}, (50, 50, False)),
    ({"max_tokens": None}, (10_000, 256, False)),
    ({}, (10_000, 256, False)),
    ({"n": 2}, (20_000, 512, False)),
    ({"stream": True}, (4_096, 256, True)),
    ({"stream": True, "n": 2}, (8_192, 512, True)),
    ({"stream": True, "n": 3}, (12_288, 768, True)),
]


@pytest.mark.parametrize(("fields", "expected"), OUTPUT)
def test_output_is_held_as_the_client_limits_it(
    fields: dict[str, Any], expected: tuple[int, int, bool]
) -> None:
    found = bound(**fields)
    assert (found.most.output, found.least_output, found.window) == expected


def test_the_estimate_is_below_the_bound() -> None:
    found = bound(messages=[{"role": "user", "content": "word " * 400}])
    assert 400 <= found.estimated_input <= found.most.input // 3
