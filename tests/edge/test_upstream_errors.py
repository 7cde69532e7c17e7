"""What upstreams do wrong, in our words; and what is booked for it."""

import json
from typing import Any

import openai
import pytest

from tests.edge.wire import chat, sim
from tests.edge.world import Member, World

STYLES = [
    "openai",
    "string",
    "detail",
    "vllm",
    "cloudflare",
    "cloudflare_rest",
    "mistral",
    "array",
    "html",
    "text",
    "empty",
]


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def released(gateway: World, member: Member) -> bool:
    entry = gateway.settled(member)
    return entry.kind == "release" and not gateway.usage(member).spent_nano_usd


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("status", [400, 500])
def test_r12_every_shape_of_error_becomes_the_envelope(
    gateway: World, member: Member, style: str, status: int
) -> None:
    directive = f'status={status} error={style} message="Something is wrong"'
    reply = chat(gateway.url, member, messages=sim(directive))
    assert reply.status == (400 if status == 400 else 502)
    if style not in ("html", "empty"):
        assert "Something is wrong" in reply.error["message"]
    else:
        assert "<" not in reply.error["message"]
    assert released(gateway, member)


@pytest.mark.parametrize("status", [401, 402, 403, 407])
@pytest.mark.parametrize("style", ["openai", "cloudflare"])
def test_r12_our_account_is_never_the_clients_fault(
    gateway: World, member: Member, status: int, style: str
) -> None:
    reply = chat(gateway.url, member, messages=sim(f"status={status} error={style}"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_auth")
    assert reply.headers["x-should-retry"] == "false"
    assert released(gateway, member)


def test_our_quota_at_the_provider_is_not_the_clients(gateway: World, member: Member) -> None:
    directive = "status=429 type=insufficient_quota code=insufficient_quota"
    reply = chat(gateway.url, member, messages=sim(directive))
    assert (reply.status, reply.error["code"]) == (502, "upstream_auth")


@pytest.mark.parametrize(("told", "wait"), [("7", "7"), ("86400", "59"), ("", None)])
def test_r4_an_upstream_rate_limit_says_when_to_come_back(
    gateway: World, member: Member, told: str, wait: str | None
) -> None:
    directive = f"status=429 retry_after={told}" if told else "status=429"
    reply = chat(gateway.url, member, messages=sim(directive))
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert wait in (None, reply.headers["retry-after"])
    assert 1 <= int(reply.headers["retry-after"]) <= 59
    assert f"try again in {reply.headers['retry-after']}s" in reply.error["message"]


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [
        (404, 404, None),
        (409, 409, None),
        (413, 413, None),
        (422, 400, None),
        (408, 504, "upstream_timeout"),
        (504, 504, "upstream_timeout"),
        (503, 503, "upstream_overloaded"),
        (529, 503, "upstream_overloaded"),
        (500, 502, "upstream_error"),
        (520, 502, "upstream_error"),
        (301, 502, "upstream_error"),
    ],
)
def test_each_status_has_one_answer(
    gateway: World, member: Member, status: int, answered: int, code: str | None
) -> None:
    reply = chat(gateway.url, member, messages=sim(f"status={status}"))
    assert reply.status == answered
    if code is not None:
        assert (reply.error["type"], reply.error["code"]) == ("server_error", code)
    assert released(gateway, member)


def test_an_upstream_code_and_param_reach_the_client(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, messages=sim("status=400 code=context_length_exceeded"))
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")


def test_an_error_under_200_is_an_error_and_costs_nothing(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, messages=sim("status=200 error=openai"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert released(gateway, member)


def test_a_provider_that_cannot_be_reached_costs_nothing(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, model="dead/echo")
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert released(gateway, member)


def test_a_connection_lost_before_the_answer_is_charged_its_input(
    gateway: World, member: Member
) -> None:
    reply = chat(gateway.url, member, messages=sim("reset"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    entry = gateway.settled(member)
    assert entry.usage.output_tokens == 0
    assert entry.usage.input_tokens > 0
    assert list(entry.flags) == ["unreconciled"]


@pytest.mark.parametrize("stream", [False, True])
def test_no_answer_in_time_is_504_and_charged_its_input(
    gateway: World, member: Member, stream: bool
) -> None:
    reply = chat(gateway.url, member, messages=sim("hang"), stream=stream)
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    entry = gateway.settled(member)
    assert (entry.usage.output_tokens, list(entry.flags)) == (0, ["unreconciled"])


@pytest.mark.parametrize("fault", ["cut_after=3", "close_after=3", "eof_after=2"])
def test_half_an_answer_in_one_piece_is_no_answer(
    gateway: World, member: Member, fault: str
) -> None:
    reply = chat(gateway.url, member, messages=sim(fault, "word " * 100))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert list(gateway.settled(member).flags) == ["unreconciled"]


def test_a_fallback_answers_for_the_same_reservation(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, model="dead/saved")
    assert reply.status == 200
    assert reply.headers["x-gateway-model"] == "simulator/echo"
    entries = gateway.journal(member)
    assert len({entry.reservation_id for entry in entries}) == 1
    [settled] = [entry for entry in entries if entry.kind == "settle"]
    assert settled.model == "simulator/echo"
    assert gateway.usage(member).spent_nano_usd == reply.json["usage"]["total_tokens"] * 10_000


def test_a_dearer_fallback_is_held_for_before_it_is_asked(gateway: World, member: Member) -> None:
    gateway.simulator.witness.clear()
    messages = sim("status=503 model=flaky", "Hello")
    reply = chat(gateway.url, member, model="simulator/flaky", messages=messages)
    assert (reply.status, reply.headers["x-gateway-model"]) == (200, "simulator/dear")
    entries = gateway.journal(member)
    held = sum(entry.held_nano_usd for entry in entries if entry.held_nano_usd > 0)
    bound_at_dear_price = 4_096 * 100_000
    assert held >= bound_at_dear_price
    assert gateway.usage(member).spent_nano_usd == reply.json["usage"]["total_tokens"] * 100_000


def test_a_fallback_that_is_lost_is_charged_at_its_own_price(
    gateway: World, member: Member
) -> None:
    reply = chat(gateway.url, member, model="dead/lost", messages=sim("reset"))
    assert reply.status == 502
    [settled] = [e for e in gateway.journal(member) if e.kind == "settle"]
    assert (settled.model, list(settled.flags)) == ("simulator/dear", ["unreconciled"])
    assert gateway.usage(member).spent_nano_usd == settled.usage.input_tokens * 100_000


def test_a_fallback_that_is_not_affordable_is_not_asked(gateway: World) -> None:
    member = gateway.member(limit=60_000_000)  # 6,000 tokens at the first model's price
    gateway.simulator.witness.clear()
    messages = sim("status=503 model=flaky", "Hello")
    reply = chat(gateway.url, member, model="simulator/flaky", messages=messages, max_tokens=4_000)
    assert reply.status == 503
    assert [r["model"] for r in gateway.simulator.witness.records()] == ["flaky"]
    assert released(gateway, member)


def test_a_refused_request_is_not_sent_to_the_fallback(gateway: World, member: Member) -> None:
    gateway.simulator.witness.clear()
    messages = sim("status=400 model=flaky", "Hello")
    reply = chat(gateway.url, member, model="simulator/flaky", messages=messages)
    assert reply.status == 400
    assert len(gateway.simulator.witness.records()) == 1


def test_malformed_json_is_an_upstream_error(gateway: World, member: Member) -> None:
    reply = chat(gateway.url, member, messages=sim("malformed_after=0"))
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")


USAGES: list[tuple[str, dict[str, Any]]] = [
    ("usage=none", {"output": 2, "flags": ["estimated"]}),
    ("usage=null", {"output": 2, "flags": ["estimated"]}),
    ("usage=zero", {"input": 0, "output": 0, "flags": []}),
    ("usage=negative", {"output": 2, "flags": ["anomaly"]}),
    ("usage=huge", {"output": 2, "flags": ["anomaly"]}),
    ("usage=bool", {"output": 2, "flags": ["anomaly"]}),
    ("usage=float", {"output": 2, "flags": ["anomaly"]}),
    ("prompt=50 completion=70 cached=20 reasoning=30", {"input": 50, "output": 70, "flags": []}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("directive", "booked"), USAGES)
def test_usage_is_booked_as_the_table_says(
    gateway: World, member: Member, directive: str, booked: dict[str, Any], stream: bool
) -> None:
    reply = chat(gateway.url, member, messages=sim(directive, "Hello"), stream=stream)
    assert reply.status == 200
    entry = gateway.settled(member)
    assert list(entry.flags) == booked["flags"]
    assert entry.usage.output_tokens == booked["output"]
    if "input" in booked:
        assert entry.usage.input_tokens == booked["input"]
    if "cached=20" in directive:
        assert entry.usage.cached_input_tokens == 20
        assert entry.usage.reasoning_output_tokens == 30


@pytest.mark.parametrize("place", ["every", "finish", "groq", "unasked"])
def test_r16_usage_is_found_wherever_it_stands_and_never_summed(
    gateway: World, member: Member, place: str
) -> None:
    messages = sim(f"prompt=40 completion=9 usage_on={place}", "one two three four five")
    assert chat(gateway.url, member, messages=messages, stream=True).status == 200
    entry = gateway.settled(member)
    assert (entry.usage.input_tokens, entry.usage.output_tokens) == (40, 9)
    assert list(entry.flags) == []


def test_errors_of_the_client_library_have_the_right_class(gateway: World, member: Member) -> None:
    with gateway.client(member) as client:
        for status, kind in ((400, openai.BadRequestError), (500, openai.InternalServerError)):
            with pytest.raises(kind):
                client.chat.completions.create(
                    model="simulator/echo",
                    messages=json.loads(json.dumps(sim(f"status={status}"))),
                )
