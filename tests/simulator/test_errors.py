"""Errors on request: any status, in the words of many providers."""

from typing import Any

import openai
import pytest

from tests.simulator.wire import Wire

OPENAI: dict[str, Any] = {
    "error": {"message": "no", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
}
STYLES: dict[str, Any] = {
    "openai": OPENAI,
    "string": {"error": "no"},
    "detail": {"detail": "no"},
    "vllm": {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 429}},
    "cloudflare": {
        "success": False,
        "result": [],
        "messages": [],
        "error": [{"code": 429, "message": "no"}],
        "name": "AiGatewayError",
        "httpCode": 429,
        "internalCode": 429,
        "message": "no",
    },
    "cloudflare_rest": {
        "success": False,
        "result": [],
        "messages": [],
        "errors": [{"code": 429, "message": "no"}],
    },
    "mistral": {
        "object": "error",
        "message": {"detail": [{"type": "requests", "loc": ["body"], "msg": "no"}]},
        "type": "requests",
        "code": "rate_limit_exceeded",
    },
    "array": [{"error": {"code": 429, "message": "no", "status": "ERROR"}}],
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("stream", [True, False])
def test_each_style_of_error_body(wire: Wire, style: str, stream: bool) -> None:
    heard = wire.chat(f"[[sim status=429 message=no error={style}]] hi", stream=stream)
    assert heard.status == 429
    assert heard.headers["content-type"] == "application/json"
    assert heard.json == STYLES[style]


def test_html_plain_text_and_nothing_at_all(wire: Wire) -> None:
    html = wire.chat("[[sim status=502 error=html]]")
    assert (html.status, html.headers["content-type"]) == (502, "text/html")
    assert b"<html>" in html.body
    text = wire.chat('[[sim status=403 error=text message="error code: 1010"]]')
    assert (text.status, text.body) == (403, b"error code: 1010")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    empty = wire.chat("[[sim status=500 error=empty]]")
    assert (empty.status, empty.body) == (500, b"")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 529])
def test_any_status_in_openais_envelope(wire: Wire, status: int) -> None:
    heard = wire.chat(f"[[sim status={status}]]")
    assert heard.status == status
    assert set(heard.json["error"]) == {"message", "type", "param", "code"}
    assert heard.headers["x-request-id"].startswith("req_")


def test_type_and_code_can_be_given(client: openai.OpenAI) -> None:
    message = "[[sim status=429 type=insufficient_quota code=insufficient_quota]]"
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(
            model="lorem", messages=[{"role": "user", "content": message}]
        )
    assert (raised.value.type, raised.value.code) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize("value", ["2", "0.5", '"Wed, 21 Oct 2026 07:28:00 GMT"', "86400"])
def test_retry_after_is_sent_as_written(wire: Wire, value: str) -> None:
    heard = wire.chat(f"[[sim status=429; retry_after={value}]]")
    assert heard.headers["retry-after"] == value.strip('"')
    assert "retry-after" not in wire.chat("[[sim status=429]]").headers


def test_an_error_can_hide_under_200(wire: Wire) -> None:
    heard = wire.chat("[[sim status=200 error=openai message=no]]")
    assert heard.status == 200
    assert heard.json["error"]["message"] == "no"


def test_a_status_without_a_body_has_none(wire: Wire) -> None:
    heard = wire.chat("[[sim status=304]]")
    assert (heard.status, heard.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "[[sim status=503]] x"}),
        ("/v1/embeddings", {"input": "[[sim status=503]] x"}),
        ("/v1/embeddings", {"input": ["a", "[[sim status=503]] x"]}),
        ("/v1/responses", {"input": "[[sim status=503]] x"}),
        ("/v1/responses", {"input": [{"role": "user", "content": "[[sim status=503]] x"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "[[sim status=503]]"}]}),
    ],
)
def test_every_api_takes_the_directive_from_its_text(wire: Wire, path: str, body: Any) -> None:
    assert wire.post(path, {"model": "lorem", **body}).status == 503


def test_the_header_works_where_no_text_is(wire: Wire) -> None:
    headers = {"x-simulator": "status=500; error=detail"}
    assert wire.http.get("/v1/models", headers=headers).status_code == 500
    tokens = {"model": "lorem", "input": [1, 2]}
    assert wire.post("/v1/embeddings", tokens, headers).json.keys() == {"detail"}


def test_the_header_wins_over_the_message(wire: Wire) -> None:
    heard = wire.chat("[[sim status=500 message=no]]", {"x-simulator": "status=400"})
    assert (heard.status, heard.json["error"]["message"]) == (400, "no")


def test_only_the_first_requests_fail(wire: Wire) -> None:
    message = "[[sim status=503 times=2]] once more"
    assert [wire.chat(message).status for _ in range(4)] == [503, 503, 200, 200]
    assert wire.chat(message, model="other").status == 200


def test_only_the_named_model_fails(wire: Wire) -> None:
    message = "[[sim status=503 model=bad/one]]"
    assert wire.chat(message, model="bad/one").status == 503
    assert wire.chat(message, model="good/one").status == 200


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        ("[[sim stats=429]]", "unknown directive 'stats'"),
        ("[[sim status=abc]]", "status=abc: is not a whole number from 200 to 599"),
        ("[[sim status=99]]", "status=99"),
        ("[[sim status]]", "status=None"),
        ("[[sim error=odd]]", "is not one of array, cloudflare"),
        ("[[sim gzip=9]]", "gzip=9: is a flag"),
        ("[[sim status=429", "cannot read"),
        ('[[sim text="\\x"]]', "text: "),
        ("[[sim calls=2]]", "offers no tool"),
    ],
)
def test_a_directive_that_cannot_be_read_is_named(wire: Wire, directive: str, said: str) -> None:
    heard = wire.chat(directive)
    assert (heard.status, heard.json["error"]["code"]) == (400, "invalid_directive")
    assert said in heard.json["error"]["message"]


def test_a_bad_header_is_named(wire: Wire) -> None:
    heard = wire.chat("hi", {"x-simulator": "status = 429"})
    assert heard.status == 400
    assert "cannot read ' = 429'" in heard.json["error"]["message"]
