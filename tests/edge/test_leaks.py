"""What must not travel: headers, credentials and prompts, in either direction."""

import json
import time
from typing import Any

import pytest

from services.simulator.witness import fingerprint
from tests.edge.wire import ask, bearer, chat, sim
from tests.edge.world import CLOUDFLARE_TOKEN, PROVIDER_KEY, Member, World

CHAT = "/v1/chat/completions"


@pytest.fixture
def member(gateway: World) -> Member:
    gateway.simulator.witness.clear()
    return gateway.member()


def sent_headers(gateway: World) -> dict[str, str]:
    [record] = gateway.simulator.witness.records()
    found: dict[str, str] = record["headers"]
    return found


def test_c8_r17_only_listed_request_headers_travel_on(gateway: World, member: Member) -> None:
    headers = {
        **bearer(member),
        "cookie": "a=b",
        "x-forwarded-for": "1.2.3.4",
        "forwarded": "for=1.2.3.4",
        "openai-organization": "org-x",
        "openai-project": "p",
        "x-stainless-lang": "python",
        "user-agent": "mine",
        "referer": "http://inside",
        "cf-aig-custom-cost": "0",
        "cf-aig-cache-key": "mine",
        "accept-encoding": "gzip",
        "x-request-id": "mine",
        "x-simulator": "status=500",
        "openai-beta": "assistants=v2",
    }
    body = json.dumps({"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]})
    reply = ask(gateway.url, "POST", CHAT, body.encode(), headers)
    assert reply.status == 200
    sent = sent_headers(gateway)
    assert set(sent) <= {
        "host",
        "content-length",
        "content-type",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "x-request-id",
        "openai-beta",
    }
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"] == "ai-gateway"
    assert sent["x-request-id"] == reply.headers["x-request-id"]
    assert sent["openai-beta"] == "assistants=v2"


def test_c7_hop_by_hop_headers_end_here(gateway: World, member: Member) -> None:
    headers = {
        **bearer(member),
        "connection": "x-secret, keep-alive",
        "x-secret": "s",
        "te": "trailers",
        "trailer": "x-t",
        "proxy-authorization": "Basic eA==",
    }
    body = json.dumps({"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]})
    assert ask(gateway.url, "POST", CHAT, body.encode(), headers).status == 200
    hop = {"x-secret", "te", "trailer", "proxy-authorization", "upgrade"}
    assert not hop & set(sent_headers(gateway))


@pytest.mark.parametrize("stream", [False, True])
def test_c9_r17_only_listed_response_headers_travel_back(
    gateway: World, member: Member, stream: bool
) -> None:
    reply = chat(gateway.url, member, messages=sim("headers"), stream=stream)
    allowed = {
        "date",
        "content-type",
        "content-length",
        "transfer-encoding",
        "cache-control",
        "x-accel-buffering",
        "x-request-id",
        "x-gateway-model",
        "x-gateway-max-tokens",
        "x-gateway-upstream-request-id",
        "openai-processing-ms",
        "openai-version",
    }
    assert set(reply.headers) <= allowed
    assert reply.headers["x-gateway-upstream-request-id"] != reply.headers["x-request-id"]


def test_b8_a_compressed_answer_is_not_believed(gateway: World, member: Member) -> None:
    """Compression was not asked for; bytes that nobody can read are no answer."""
    reply = chat(gateway.url, member, messages=sim("gzip"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")


def test_the_providers_key_goes_to_the_provider_and_nowhere_else(
    gateway: World, member: Member
) -> None:
    reply = chat(gateway.url, member, model="keyed/echo")
    assert reply.status == 200
    assert sent_headers(gateway)["authorization"] == f"Bearer sha256:{fingerprint(PROVIDER_KEY)}"
    gateway.simulator.witness.clear()
    assert chat(gateway.url, member).status == 200
    assert "authorization" not in sent_headers(gateway)


def test_the_organisations_own_key_goes_before_the_gateways(gateway: World, member: Member) -> None:
    gateway.ask_auth(
        "SetProviderKey", org_id=member.org, provider="keyed", credential="sk-of-the-organisation"
    )
    other = gateway.member()
    for who, key in ((member, "sk-of-the-organisation"), (other, PROVIDER_KEY)):
        gateway.simulator.witness.clear()
        assert chat(gateway.url, who, model="keyed/echo").status == 200
        assert sent_headers(gateway)["authorization"] == f"Bearer sha256:{fingerprint(key)}"


def test_a_provider_key_set_later_is_used_by_the_next_request(
    gateway: World, member: Member
) -> None:
    for key in (PROVIDER_KEY, "sk-first-of-our-own", "sk-second-of-our-own"):
        if key != PROVIDER_KEY:
            gateway.ask_auth("SetProviderKey", org_id=member.org, provider="keyed", credential=key)
        gateway.simulator.witness.clear()
        assert chat(gateway.url, member, model="keyed/echo").status == 200
        assert sent_headers(gateway)["authorization"] == f"Bearer sha256:{fingerprint(key)}"


def test_a_provider_without_a_key_is_no_provider(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, model="openai/gpt-4o")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert gateway.journal(member) == []


def test_e2_a_key_that_the_provider_echoes_is_masked(gateway: World, member: Member) -> None:
    directive = f'status=400 message="bad key {PROVIDER_KEY} for you"'
    reply = chat(gateway.url, member, model="keyed/echo", messages=sim(directive))
    assert reply.error["message"] == "bad key *** for you"


def test_r18_cloudflare_compat_gets_both_credentials_and_its_headers(
    gateway: World, member: Member
) -> None:
    reply = chat(gateway.url, member, model="compat/echo")
    assert reply.status == 200
    sent = sent_headers(gateway)
    token = fingerprint(CLOUDFLARE_TOKEN)
    assert sent["cf-aig-authorization"] == f"Bearer sha256:{token}"
    assert sent["authorization"] == f"Bearer sha256:{fingerprint(PROVIDER_KEY)}"
    assert sent["cf-aig-skip-cache"] == "true"
    assert sent["cf-aig-max-attempts"] == "1"
    assert json.loads(sent["cf-aig-metadata"]) == {
        "request_id": reply.headers["x-request-id"],
        "org": member.org,
        "user": member.user,
        "key": member.key_id,
    }
    [record] = gateway.simulator.witness.records()
    assert json.loads(record["body"])["model"] == "compat/echo"


def test_r18_cloudflare_rest_gets_the_token_and_own_names(gateway: World, member: Member) -> None:
    assert chat(gateway.url, member, model="google-ai-studio/echo").status == 200
    sent = sent_headers(gateway)
    assert sent["authorization"] == f"Bearer sha256:{fingerprint(CLOUDFLARE_TOKEN)}"
    assert "cf-aig-authorization" not in sent
    [record] = gateway.simulator.witness.records()
    assert json.loads(record["body"])["model"] == "google/echo"


def test_r18_the_providers_cache_is_used_only_where_the_organisation_wants_it(
    gateway: World,
) -> None:
    member = gateway.member(org={"allow_upstream_cache": True})
    gateway.simulator.witness.clear()
    assert chat(gateway.url, member, model="compat/echo", messages=sim("cache=HIT")).status == 200
    assert "cf-aig-skip-cache" not in sent_headers(gateway)
    assert list(gateway.settled(member).flags) == ["cached"]


def test_e5_e2_logs_hold_no_prompt_and_no_secret(
    gateway: World, member: Member, capfd: pytest.CaptureFixture[str]
) -> None:
    told: Any = [{"role": "user", "content": "[[sim headers]] the-secret-prompt"}]
    for model in ("keyed/echo", "dead/echo", "nobody/knows"):
        chat(gateway.url, member, model=model, messages=told)
        chat(gateway.url, member, model=model, messages=told, stream=True)
    ask(gateway.url, "GET", f"/v1/models?api_key={member.key}", headers={"x-api-key": "wrong"})
    captured = capfd.readouterr()
    text = captured.out + captured.err
    assert "/v1/chat/completions" in text
    for secret in ("the-secret-prompt", member.key, PROVIDER_KEY, CLOUDFLARE_TOKEN):
        assert secret not in text


def test_r24_the_three_ids_of_a_request_are_in_its_log_line(
    gateway: World, member: Member, capfd: pytest.CaptureFixture[str]
) -> None:
    headers = {**bearer(member), "x-client-request-id": "mine-4711"}
    body = json.dumps({"model": "simulator/echo", "messages": [{"role": "user", "content": "Hi"}]})
    reply = ask(gateway.url, "POST", CHAT, body.encode(), headers)
    text, ends = "", time.monotonic() + 5
    while "mine-4711" not in text:  # the line is written when the answer is out
        assert time.monotonic() < ends
        captured = capfd.readouterr()
        text += captured.out + captured.err
        time.sleep(0.01)
    [line] = [each for each in text.splitlines() if "mine-4711" in each]
    assert reply.headers["x-request-id"] in line
    assert reply.headers["x-gateway-upstream-request-id"] in line


def test_c10_names_cannot_smuggle_headers(gateway: World, member: Member) -> None:
    for name in ("simulator/a\r\nx-evil: 1", "simulator/\u00e9", "simulator/\u0000", "a b"):
        reply = chat(gateway.url, member, model=name)
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        assert "x-evil" not in reply.headers


def test_f6_no_cors_by_default(gateway: World, member: Member) -> None:
    reply = ask(gateway.url, "OPTIONS", CHAT, headers={"origin": "https://evil.example"})
    assert reply.status == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_r33_f6_pages_of_named_origins_may_call_the_api_and_nothing_else(
    gateway: World, member: Member
) -> None:
    ours, theirs = "https://app.example", "https://evil.example"
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    with gateway.another_edge(cors_origins=f"{ours},https://b.example") as url:
        told = ask(url, "OPTIONS", CHAT, headers={"origin": ours, **preflight})
        assert (told.status, told.headers["access-control-allow-origin"]) == (200, ours)
        assert "x-stainless-lang" in told.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in told.headers
        answer = ask(url, "GET", "/v1/models", headers={**bearer(member), "origin": ours})
        assert answer.headers["access-control-allow-origin"] == ours
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        refused = ask(
            url, "GET", "/v1/models", headers={"origin": ours}
        )  # errors are readable, too
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, ours)
        for path, origin in ((CHAT, theirs), ("/admin/health", ours), ("/console", ours)):
            told = ask(url, "OPTIONS", path, headers={"origin": origin, **preflight})
            assert not [name for name in told.headers if name.startswith("access-control")], path
