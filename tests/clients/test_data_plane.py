"""Generated requests against the data plane's own description, and bodies that nobody would send:
no 5xx, nothing undescribed."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from services.edge.openapi.document import document
from tests.edge.world import Member, World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = (
    schemathesis.openapi.from_dict(document())
    .include(path_regex="^/v1/")
    .exclude(path_regex="^/admin")
)


@pytest.fixture(scope="module")
def member(gateway: World) -> Member:
    return gateway.member()


@OPERATIONS.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_answer_is_as_described(
    case: schemathesis.Case, gateway: World, member: Member
) -> None:
    headers = {"authorization": f"Bearer {member.key}"}
    case.call_and_validate(base_url=gateway.url, headers=headers, checks=CHECKS, timeout=20)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["simulator/echo", "auto", "function", "web_search", "input_text", "user"]),
)
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["type", "text", "role", "content", "id", "name", "include_usage", "url"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *("messages", "input", "prompt", "stream", "stream_options", "n", "best_of", "max_tokens"),
    *("max_completion_tokens", "max_output_tokens", "service_tier", "tools", "tool_choice"),
    *("store", "include", "max_tool_calls", "encoding_format", "dimensions", "metadata", "echo"),
    *("response_format", "reasoning", "text", "web_search_options", "previous_response_id"),
]
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "input_text", "image_url", "input_image", "file"])},
    optional={"text": VALUES, "image_url": VALUES, "file": VALUES, "file_data": VALUES},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "developer"])},
    optional={
        "content": st.one_of(VALUES, st.lists(PART, max_size=2)),
        "tool_calls": VALUES,
        "output": st.one_of(VALUES, PART),
        "type": SCALARS,
    },
)
SENSIBLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/completions": {"prompt": "Hi"},
}
SENTENCE = b'{"model":"simulator/echo","messages":[{"role":"user","content":"Hi"}],"max_tokens":5}'
BODIES = st.builds(
    lambda odd, items: {**odd, **({"messages": items, "input": items} if items else {})},
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    st.lists(MESSAGE, max_size=2),
)


@pytest.mark.parametrize("path", SENSIBLE)
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(odd=BODIES)
def test_no_body_is_a_failure_of_ours(
    gateway: World, member: Member, path: str, odd: dict[str, Any]
) -> None:
    body = {"model": "simulator/echo", **SENSIBLE[path], **odd}
    status, answer = post(gateway, member, path, json.dumps(body).encode())
    assert status < 500, (status, answer, body)
    if status >= 400:
        assert sorted(json.loads(answer)["error"]) == ["code", "message", "param", "type"]


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(
    raw=st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda at, junk: SENTENCE[:at] + junk + SENTENCE[at + 1 :],
            st.integers(0, 80),
            st.binary(max_size=3),
        ),
    )
)
def test_no_bytes_are_a_failure_of_ours(gateway: World, member: Member, raw: bytes) -> None:
    status, answer = post(gateway, member, "/v1/chat/completions", raw)
    assert status < 500, (status, answer, raw)


def post(gateway: World, member: Member, path: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(gateway.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    headers = {"authorization": f"Bearer {member.key}", "content-type": "application/json"}
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
