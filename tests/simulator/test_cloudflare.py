"""Cloudflare's addresses answer as Cloudflare does."""

import pytest

from tests.simulator.wire import Wire

COMPAT = "/v1/acc/gw/compat/chat/completions"
REST = "/client/v4/accounts/acc/ai/v1"
BODY = {"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
TOKEN = {"authorization": "Bearer cf-token"}


def test_compat_answers_and_says_that_it_logged(wire: Wire) -> None:
    heard = wire.post(COMPAT, BODY, {"cf-aig-authorization": "Bearer cf-token"})
    assert heard.status == 200
    assert heard.json["object"] == "chat.completion"
    assert heard.headers["cf-aig-cache-status"] == "MISS"
    assert len(heard.headers["cf-aig-log-id"]) == 26


@pytest.mark.parametrize(
    ("path", "kind"), [("chat/completions", "chat.completion"), ("responses", "response")]
)
def test_the_rest_form_answers_both_apis(wire: Wire, path: str, kind: str) -> None:
    heard = wire.post(f"{REST}/{path}", BODY | {"input": "Hello"}, TOKEN)
    assert heard.json["object"] == kind
    assert "cf-aig-log-id" in heard.headers


def test_a_cached_answer_says_so(wire: Wire) -> None:
    assert (
        wire.post(COMPAT, BODY, TOKEN | {"x-simulator": "cache=HIT"}).headers["cf-aig-cache-status"]
        == "HIT"
    )


def test_without_a_token_each_host_refuses_in_its_own_words(wire: Wire) -> None:
    compat = wire.post(COMPAT, BODY)
    assert (compat.status, compat.json["error"][0]["code"]) == (401, 2009)
    assert compat.json["httpCode"] == 401
    rest = wire.post(f"{REST}/chat/completions", BODY, {"cf-aig-authorization": "Bearer x"})
    assert (rest.status, rest.json["errors"][0]["code"]) == (401, 10000)


def test_a_model_without_its_provider_is_refused(wire: Wire) -> None:
    heard = wire.post(COMPAT, BODY | {"model": "gpt-5-mini"}, TOKEN)
    assert heard.status == 400
    assert heard.json["error"][0]["message"] == "Invalid provider"


def test_openais_own_addresses_send_no_cloudflare_headers(wire: Wire) -> None:
    heard = wire.chat("Hello")
    assert not [name for name in heard.headers if name.startswith("cf-")]
