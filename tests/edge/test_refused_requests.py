"""What is refused before anything is reserved: status, type, code, field."""

import hashlib
import json
from typing import Any

import pytest

from tests.edge.wire import ask, bearer, chat, raw_connection, raw_request
from tests.edge.world import Member, World

INVALID = "invalid_request_error"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def member(gateway: World) -> Member:
    return gateway.member()


@pytest.fixture(autouse=True)
def nothing_is_reserved(gateway: World, member: Member) -> Any:
    yield
    assert gateway.journal(member) == []


# --- Keys --------------------------------------------------------------------------------------


def test_no_key_is_told_how_to_send_one(gateway: World) -> None:
    reply = ask(gateway.url, "POST", CHAT, b"{}", {"content-type": "application/json"})
    assert reply.status == 401
    assert (reply.error["type"], reply.error["code"]) == (INVALID, None)
    assert "You didn't provide an API key" in reply.error["message"]
    assert reply.headers["www-authenticate"] == "Bearer"


def mistyped(key: str) -> str:
    return key[:-1] + ("a" if key[-1] != "a" else "b")


def unknown(_: str) -> str:
    from services.common import secret

    return secret.mint(secret.API_KEY)


WRONG = {
    "A4 malformed": mistyped,
    "A4 wrong prefix": lambda key: key.replace("gw_live_", "sk-live_"),
    "A4 short": lambda key: key[:20],
    "A5 hash as key": lambda key: hashlib.sha256(key.encode()).hexdigest(),
    "unknown": unknown,
}


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_key_gets_the_same_answer(gateway: World, member: Member, name: str) -> None:
    key = WRONG[name](member.key)
    reply = ask(gateway.url, "GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
    assert reply.status == 401
    assert reply.error == {
        "message": "Incorrect API key provided. Ask your administrator for a key of this gateway.",
        "type": INVALID,
        "param": None,
        "code": "invalid_api_key",
    }
    assert key not in reply.body.decode()


def test_a2_r27_the_key_may_come_in_other_headers(gateway: World, member: Member) -> None:
    for headers in (
        {"x-api-key": member.key},
        {"api-key": member.key},
        {"Authorization": f"bearer  {member.key}"},
        {"authorization": f"Bearer {member.key}", "x-api-key": member.key},
    ):
        assert ask(gateway.url, "GET", "/v1/models", headers=headers).status == 200


def test_a2_two_different_keys_are_refused(gateway: World, member: Member) -> None:
    bearer_header = ("authorization", f"Bearer {member.key}")
    for extra in (("x-api-key", mistyped(member.key)), bearer_header):
        reply = ask(gateway.url, "GET", "/v1/models", headers=[bearer_header, extra])
        assert (reply.status, reply.error["code"]) == (400, "duplicate_credential")


def test_a3_a_key_in_the_query_is_no_key(gateway: World, member: Member) -> None:
    reply = ask(gateway.url, "GET", f"/v1/models?api_key={member.key}")
    assert (reply.status, reply.error["code"]) == (401, None)


# --- Bodies ------------------------------------------------------------------------------------

BROKEN_JSON = {
    "nothing": b"",
    "no json": b"{model}",
    "no object": b"[1]",
    "NaN": b'{"model": NaN}',
    "1e999": b'{"model": 1e999}',
    "lone surrogate": b'{"model": "\\ud83d"}',
    "invalid UTF-8": b'{"model": "\xff"}',
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": json.dumps({"model": "m"}).encode("utf-16"),
    "5,000 digits": b'{"seed": ' + b"9" * 5_000 + b"}",
    "depth 65": b'{"a":' * 65 + b"1" + b"}" * 65,
    "depth 100,000": b"[" * 100_000,
    "100,001 nodes": b'{"stop":[' + b"1," * 100_000 + b"1]}",
}


@pytest.mark.parametrize("name", BROKEN_JSON)
def test_b3_broken_json_is_a_bad_request(gateway: World, member: Member, name: str) -> None:
    reply = chat(gateway.url, member, BROKEN_JSON[name])
    assert (reply.status, reply.error["type"]) == (400, INVALID)


FIELDS: list[tuple[str, Any, str | None]] = [
    ("max_tokens", True, "invalid_type"),
    ("max_tokens", 1.0, "invalid_type"),
    ("max_tokens", "5", "invalid_type"),
    ("max_tokens", -1, "integer_below_min_value"),
    ("max_tokens", 0, "integer_below_min_value"),
    ("max_completion_tokens", 2**31, "integer_above_max_value"),
    ("n", 0, "integer_below_min_value"),
    ("n", 129, "integer_above_max_value"),
    ("n", True, "invalid_type"),
    ("stream", "yes", "invalid_type"),
    ("stream_options", [], "invalid_type"),
    ("messages", [], "empty_array"),
    ("messages", [{"role": "user", "content": ""}] * 10_001, None),
    ("tools", [{"type": "function", "function": {"name": "f"}}] * 129, "array_above_max_length"),
    ("messages", "Hi", "invalid_type"),
    ("messages", ["Hi"], "invalid_type"),
    ("messages", None, "missing_required_parameter"),
    ("model", None, None),
    ("model", 5, None),
    ("Max_Tokens", 5, "unknown_parameter"),
    ("MODEL", "x", "unknown_parameter"),
    ("api_base", "http://127.0.0.1:1", "unsupported_parameter"),
    ("base_url", "http://127.0.0.1:1", "unsupported_parameter"),
    ("api_key", "sk", "unsupported_parameter"),
    ("organization", "o", "unsupported_parameter"),
    ("extra_headers", {}, "unsupported_parameter"),
    ("custom_llm_provider", "x", "unsupported_parameter"),
]


@pytest.mark.parametrize(("name", "value", "code"), FIELDS)
def test_b2_b4_b5_b9_a_wrong_field_is_named(
    gateway: World, member: Member, name: str, value: Any, code: str | None
) -> None:
    reply = chat(gateway.url, member, **{name: value})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, name, code)


@pytest.mark.parametrize("repeat", [b'"model":"simulator/lorem"', b'"mod\\u0065l":"dear"'])
def test_a_field_given_twice_is_refused(gateway: World, member: Member, repeat: bytes) -> None:
    body = b'{"model":"simulator/echo","messages":[{"role":"user","content":"Hi"}],' + repeat + b"}"
    reply = chat(gateway.url, member, body)
    assert (reply.error["param"], reply.error["code"]) == ("model", "duplicate_parameter")


def test_r30_a_responses_body_is_shown_the_way(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, {"model": "simulator/echo", "input": "Hi"})
    assert (reply.status, reply.error["code"]) == (400, "wrong_endpoint")
    assert "/v1/responses" in reply.error["message"]


def test_content_without_a_bound_is_refused(gateway: World, member: Member) -> None:
    part = {"type": "video_url", "video_url": {"url": "https://example.com/v.mp4"}}
    for content in ([part], [{"type": "file", "file": {"file_id": "file-1"}}]):
        reply = chat(gateway.url, member, messages=[{"role": "user", "content": content}])
        assert (reply.status, reply.error["code"]) == (400, "cannot_price_input")
        assert reply.error["param"] == "messages.0.content"


def test_b9_routing_in_the_query_is_refused(gateway: World, member: Member) -> None:
    body = json.dumps({"model": "simulator/echo", "messages": MESSAGES}).encode()
    reply = ask(gateway.url, "POST", f"{CHAT}?base_url=http://x", body, bearer(member))
    assert (reply.status, reply.error["code"]) == (400, "unsupported_parameter")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_b6_only_json_is_read(gateway: World, member: Member, kind: str) -> None:
    headers = {**bearer(member), "content-type": kind}
    reply = ask(gateway.url, "POST", CHAT, b"{}", headers)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
def test_b7_compressed_requests_are_refused(gateway: World, member: Member, encoding: str) -> None:
    headers = {**bearer(member), "content-encoding": encoding}
    reply = ask(gateway.url, "POST", CHAT, b"x" * 100, headers)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_content_encoding")


def test_b1_a_declared_body_above_the_limit_is_refused(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, b"x" * (gateway.edge_settings.max_body_bytes + 1))
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert reply.headers["connection"] == "close"


def test_b1_a_chunked_body_is_refused_at_the_limit(gateway: World, member: Member) -> None:
    with raw_connection(gateway.url) as connection:
        head = raw_request(member, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        connection.sendall(head)
        piece = b"x" * (256 << 10)
        for _ in range(9):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(4_096).startswith(b"HTTP/1.1 413 ")


# --- URLs and framing --------------------------------------------------------------------------


def test_r1_unknown_urls_and_methods_answer_in_the_envelope(gateway: World) -> None:
    reply = ask(gateway.url, "POST", "/v1/foo", b"")
    assert (reply.status, reply.error["code"]) == (404, None)
    assert reply.error["message"] == "Invalid URL (POST /v1/foo)"
    reply = ask(gateway.url, "GET", "/foo")
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")
    reply = ask(gateway.url, "GET", CHAT)
    assert (reply.status, reply.error["code"]) == (405, "method_not_supported")
    assert reply.headers["allow"] == "POST"
    reply = ask(gateway.url, "DELETE", "/openapi.json")
    assert (reply.status, reply.error["code"]) == (405, "method_not_supported")


def test_e6_metrics_are_not_on_the_public_port(gateway: World) -> None:
    assert ask(gateway.url, "GET", "/metrics").status == 404


@pytest.mark.parametrize("path", ["/v1/models/", "//v1//models", "/models", "/v1/models?x=1"])
def test_r22_spellings_of_a_path_are_accepted_without_a_redirect(
    gateway: World, member: Member, path: str
) -> None:
    assert ask(gateway.url, "GET", path, headers=bearer(member)).status == 200


def test_r15_a_model_is_found_with_its_slash_encoded(gateway: World, member: Member) -> None:
    for path in ("/v1/models/simulator/echo", "/v1/models/simulator%2Fecho"):
        assert ask(gateway.url, "GET", path, headers=bearer(member)).json["id"] == "simulator/echo"


MALFORMED = {
    "no http": b"hello\r\n\r\n",
    "CL and TE": b"POST / HTTP/1.1\r\nhost: e\r\ncontent-length: 1\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: e\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "signed length": b"POST / HTTP/1.1\r\nhost: e\r\ncontent-length: +1\r\n\r\nx",
    "space before colon": b"GET / HTTP/1.1\r\nhost : e\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nhost: e\r\nx: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_c2_what_is_no_http_is_refused_in_json_and_closed(gateway: World, name: str) -> None:
    with raw_connection(gateway.url) as connection:
        connection.sendall(MALFORMED[name])
        answer = b""
        while piece := connection.recv(4_096):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body)["error"]["code"] == "bad_request"


HEADS = {
    "a long header": b"x: " + b"a" * (17 << 10) + b"\r\n",
    "many headers": b"".join(b"x-%d: a\r\n" % n for n in range(101)),
    "long in all": b"".join(b"x-%d: %b\r\n" % (n, b"a" * 4_000) for n in range(9)),
}


@pytest.mark.parametrize("name", HEADS)
def test_c4_large_heads_are_refused(gateway: World, name: str) -> None:
    with raw_connection(gateway.url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: e\r\n" + HEADS[name] + b"\r\n")
        assert connection.recv(4_096).startswith(b"HTTP/1.1 431 ")
