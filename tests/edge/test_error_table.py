"""The table of errors as OpenAI's clients know it (status, type, code, field), row by row, at every
endpoint that takes a request. What concerns running requests (rates, held budgets) is in
``test_budgets``, what upstreams say in ``test_upstream_errors``."""

import json
from typing import Any

import pytest

from services.common import secret
from tests.edge.wire import Reply, ask, bearer, chat, sim
from tests.edge.world import Member, World

INVALID, SERVER = "invalid_request_error", "server_error"
SENSIBLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/moderations": {"input": "Hi"},
    "/v1/images/generations": {"prompt": "Hi"},
    "/v1/audio/speech": {"input": "Hi"},
}
FORMS = (
    *("/v1/audio/transcriptions", "/v1/audio/translations"),
    *("/v1/images/edits", "/v1/images/variations"),
)
EVERY = pytest.mark.parametrize("path", [*SENSIBLE, *FORMS])
JSON = pytest.mark.parametrize("path", SENSIBLE)


@pytest.fixture(scope="module")
def member(gateway: World) -> Member:
    return gateway.member()


def post(gateway: World, path: str, headers: dict[str, str], body: bytes = b"{}") -> Reply:
    return ask(gateway.url, "POST", path, body, headers)


def told(reply: Reply) -> tuple[int, str, str | None, str | None]:
    error = reply.error  # after a look at its form: four keys, JSON, a request id
    return reply.status, error["type"], error["code"], error["param"]


@EVERY
def test_r2_no_authorization_header(gateway: World, path: str) -> None:
    reply = post(gateway, path, {"content-type": "application/json"})
    assert told(reply) == (401, INVALID, None, None)
    assert reply.error["message"].startswith(
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)"
    )


@EVERY
def test_r2_wrong_key(gateway: World, path: str) -> None:
    key = secret.mint(secret.API_KEY)
    reply = post(gateway, path, {"authorization": f"Bearer {key}"})
    assert told(reply) == (401, INVALID, "invalid_api_key", None)
    assert reply.headers["www-authenticate"] == "Bearer"
    assert key[8:] not in reply.body.decode()


@JSON
def test_r2_quota_used_up(gateway: World, path: str) -> None:
    broke = gateway.member(limit=0)
    model = {"/v1/moderations": "raw/moderation", "/v1/images/generations": "raw/image"}
    named = {"/v1/audio/speech": "raw/tts", **model}.get(path, "simulator/echo")
    body = json.dumps({"model": named, **SENSIBLE[path]}).encode()
    reply = post(gateway, path, bearer(broke), body)
    assert told(reply) == (429, "insufficient_quota", "insufficient_quota", None)
    assert reply.error["message"].startswith(
        "You exceeded your current quota, please check your plan and billing details."
    )
    assert reply.headers["x-should-retry"] == "false"
    assert not [name for name in reply.headers if name.startswith("retry-after")]
    assert "try again in" not in reply.error["message"]  # Codex and LangChain would


@JSON
def test_r2_unknown_model(gateway: World, member: Member, path: str) -> None:
    body = json.dumps({"model": "nobody/m", **SENSIBLE[path]}).encode()
    reply = post(gateway, path, bearer(member), body)
    assert told(reply) == (404, INVALID, "model_not_found", "model")
    assert reply.error["message"] == (
        "The model `nobody/m` does not exist or you do not have access to it."
    )


def test_a_model_the_key_may_not_use_is_as_unknown_as_any(gateway: World) -> None:
    narrow = gateway.member(key={"allowed_models": ["simulator/lorem"]})
    assert told(chat(gateway.url, narrow)) == (404, INVALID, "model_not_found", "model")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_url_under_v1(gateway: World, method: str) -> None:
    reply = ask(gateway.url, method, "/v1/foo")
    assert told(reply) == (404, INVALID, None, None)
    assert reply.error["message"] == f"Invalid URL ({method} /v1/foo)"


def test_unknown_url_elsewhere(gateway: World) -> None:
    reply = ask(gateway.url, "POST", "/foo", b"")
    assert told(reply) == (404, INVALID, "unknown_url", None)
    assert reply.error["message"].startswith("Unknown request URL: POST /foo. Please check the URL")


@EVERY
def test_wrong_method(gateway: World, member: Member, path: str) -> None:
    reply = ask(gateway.url, "GET", path, headers=bearer(member))
    assert told(reply) == (405, INVALID, "method_not_supported", None)
    assert reply.headers["allow"] == "POST"
    assert reply.error["message"].startswith(f"Not allowed to GET on {path} (HINT: Perhaps you")


@JSON
def test_invalid_json(gateway: World, member: Member, path: str) -> None:
    reply = post(gateway, path, bearer(member), b'{"model": ')
    assert told(reply) == (400, INVALID, None, None)
    assert reply.error["message"].startswith("We could not parse the JSON body of your request.")


@EVERY
def test_wrong_content_type(gateway: World, member: Member, path: str) -> None:
    headers = {**bearer(member), "content-type": "text/plain"}
    reply = post(gateway, path, headers)
    assert told(reply) == (415, INVALID, "unsupported_content_type", None)


@JSON
def test_body_too_large(gateway: World, member: Member, path: str) -> None:
    body = b"x" * (gateway.edge_settings.max_body_bytes + 1)
    reply = post(gateway, path, bearer(member), body)
    assert told(reply) == (413, INVALID, "request_too_large", None)


@JSON
def test_no_model(gateway: World, member: Member, path: str) -> None:
    reply = post(gateway, path, bearer(member), json.dumps(SENSIBLE[path]).encode())
    assert told(reply) == (400, INVALID, None, "model")
    assert reply.error["message"] == "you must provide a model parameter"


ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "empty messages": ({"messages": []}, "empty_array", "messages"),
    "bad value": ({"max_tokens": -1}, "integer_below_min_value", "max_tokens"),
    "bad type": ({"max_tokens": "5"}, "invalid_type", "max_tokens"),
    "unsupported parameter": ({"api_base": "x"}, "unsupported_parameter", "api_base"),
}


@pytest.mark.parametrize("row", ROWS)
def test_bad_requests(gateway: World, member: Member, row: str) -> None:
    fields, code, param = ROWS[row]
    assert told(chat(gateway.url, member, **fields)) == (400, INVALID, code, param)


def test_empty_messages_are_told_word_for_word(gateway: World, member: Member) -> None:
    assert chat(gateway.url, member, messages=[]).error["message"] == (
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
        "empty array instead."
    )


UPSTREAM: dict[str, tuple[str, tuple[int, str, str | None, str | None]]] = {
    "context too long": (
        "status=400 type=invalid_request_error code=context_length_exceeded",
        (400, INVALID, "context_length_exceeded", None),
    ),
    "unprocessable": ("status=422", (400, INVALID, None, None)),
    "overloaded": ("status=503", (503, SERVER, "upstream_overloaded", None)),
    "rate limit": ("status=429", (429, "requests", "rate_limit_exceeded", None)),
    "internal": ("status=500", (502, SERVER, "upstream_error", None)),
    "our account": ("status=401", (502, SERVER, "upstream_auth", None)),
    "html": ("status=502 error=html", (502, SERVER, "upstream_error", None)),
    "error under 200": ("status=200 error=openai", (502, SERVER, "upstream_error", None)),
    "no answer": ("hang", (504, SERVER, "upstream_timeout", None)),
}


@pytest.mark.parametrize("row", UPSTREAM)
@pytest.mark.parametrize("stream", [False, True])
def test_r12_r20_what_upstreams_say(gateway: World, member: Member, row: str, stream: bool) -> None:
    directive, expected = UPSTREAM[row]
    reply = chat(gateway.url, member, messages=sim(directive), stream=stream)
    status, kind, code, param = told(reply)
    assert (status, kind, param) == (expected[0], expected[1], expected[3])
    assert code == expected[2] or expected[2] is None
    if status in (429, 503):
        assert 1 <= int(reply.headers["retry-after"]) <= 59


def test_an_upstream_that_cannot_be_reached(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, model="dead/echo")
    assert told(reply) == (502, SERVER, "upstream_error", None)
