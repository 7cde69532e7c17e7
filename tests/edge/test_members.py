"""A body is changed in its bytes, and means what it meant but for the change."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.edge.members import canonical, change, members, repeated
from services.edge.openai import KNOWN

NAMES = ["model", "stream", "max_tokens", "messages", "x", 'say "model"', "mo\\del", "é"]
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(['"model"', 'a "model": b', "model", "\\", '\\"'])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
SPELLINGS = st.sampled_from(
    [
        lambda d: orjson.dumps(d),
        lambda d: json.dumps(d).encode(),
        lambda d: json.dumps(d, indent=2, ensure_ascii=False).encode(),
        lambda d: json.dumps(d, separators=(" ,\t", "\n: ")).encode(),
    ]
)
CHANGES = st.dictionaries(
    st.sampled_from(["model", "stream", "max_tokens", "new"]),
    st.text(max_size=5) | st.integers(0, 9) | st.booleans(),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, SPELLINGS, CHANGES)
def test_a_changed_body_is_the_document_with_the_changes(
    document: dict[str, Any], spell: Any, changes: dict[str, Any]
) -> None:
    body = spell(document)
    read = orjson.loads(body)
    assert orjson.loads(change(body, read, changes)) == read | changes


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, SPELLINGS)
def test_members_are_found_where_they_lie(document: dict[str, Any], spell: Any) -> None:
    body = spell(document)
    found = {m.name: orjson.loads(body[m.start : m.end]) for m in members(body)}
    assert found == orjson.loads(body)


def test_what_is_not_changed_keeps_its_spelling() -> None:
    body = b'{ "seed":12345678901234567890123,\t"model" :"a/b","t":1.50, "m":{"model":"x"} }'
    document = orjson.loads(body)
    assert change(body, document, {"model": "b"}) == body.replace(b'"a/b"', b'"b"')
    plain = b'{"seed":1.50,"model" :  "a/b"}'
    assert change(plain, orjson.loads(plain), {"model": "b"}) == plain.replace(b"a/b", b"b")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","x":{"model":1},"model":"b"}',
    ],
)
def test_a_name_given_twice_is_found_in_every_spelling(body: bytes) -> None:
    assert repeated(body, {"model", "messages"}) == "model"


def test_a_name_inside_other_things_is_not_twice() -> None:
    body = b'{"model":"model","messages":[{"model":"\\"model\\""}]}'
    assert repeated(body, {"model", "messages"}) is None


@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_a_name_is_recognised_however_it_is_escaped(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    escaped = f"\\u{ord(name[at]):04x}"
    escaped = data.draw(st.sampled_from([escaped, escaped[:2] + escaped[2:].upper()]))
    body = f'{{"{name}": 1, "é\\u00e9": 2, "{name[:at]}{escaped}{name[at + 1 :]}": 3}}'.encode()
    assert repeated(body, KNOWN) == name
    assert orjson.loads(change(body, orjson.loads(body), {name: 4}))[name] == 4


def test_a_number_in_another_spelling_makes_no_room_for_a_name_given_twice() -> None:
    body = b'{"n":1e5,"model":"a","model":"b"}'
    assert not canonical(body, orjson.loads(body))
    assert canonical(b'{"n":1e5}', {"n": 1e5}) is canonical(b'{"n":1,"n":1}', {"n": 1}) is False
    assert canonical(b'{"n":100000.0}', {"n": 1e5})
