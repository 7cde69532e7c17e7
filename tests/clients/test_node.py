"""The Node libraries, each as its users call it."""

from typing import Any

import pytest

from tests.clients.runner import Runner
from tests.edge.world import Member, World

HELLO = "Hello there"


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


@pytest.fixture
def broke(gateway: World) -> Member:
    return gateway.member(limit=0)


def outcomes(gateway: World, member: Member) -> tuple[int, list[str]]:
    """How many requests were settled, and the flags that any of them got."""
    entries = [e for e in gateway.journal(member) if e.kind in ("settle", "release")]
    return len(entries), sorted({flag for entry in entries for flag in entry.flags})


def test_openai_every_endpoint(gateway: World, member: Member, node: Runner) -> None:
    out = node.run("openai.mjs", gateway, member)
    assert "simulator/echo" in out["models"]
    assert out["model"] == "simulator/echo"
    for name in ("chat", "stream", "helper", "response", "responses"):
        assert out[name] == HELLO, name
    assert len(out["usage"]) == 1
    assert out["tool"] == "weather"
    assert out["completion"].strip()
    assert out["embedding"] == [out["float"]] * 2
    assert out["float"] > 0
    assert (out["broken"]["kind"], out["broken"]["code"]) == ("APIError", "upstream_error")
    assert (out["stored"]["status"], out["stored"]["code"]) == (404, "unsupported_endpoint")
    assert (out["key"]["kind"], out["key"]["asked"]) == ("AuthenticationError", 1)
    assert out["key"]["request"].startswith("req_")
    assert outcomes(gateway, member) == (11, ["estimated", "partial"])  # those of the broken one


def test_r3_openai_asks_once_when_the_budget_is_used_up(
    gateway: World, broke: Member, node: Runner
) -> None:
    for name, error in node.run("openai.mjs", gateway, broke, "refused").items():
        assert error["asked"] == 1, name
        assert (error["kind"], error["code"]) == ("RateLimitError", "insufficient_quota")


def test_ai_sdk_text_streams_tools_and_embeddings(
    gateway: World, member: Member, node: Runner
) -> None:
    out = node.run("ai-sdk.mjs", gateway, member)
    for api in ("responses", "chat"):
        told: dict[str, Any] = out[api]
        assert (told["whole"], told["stream"]) == (HELLO, HELLO)
        assert told["usage"][0] == told["usage"][1] > 0
        assert told["tools"] == ["weather"]
        assert told["steps"] == 2  # the second sends the tool's answer, and all that was before
    assert len(set(out["embeddings"])) == 1
    assert outcomes(gateway, member) == (9, [])


def test_r3_ai_sdk_asks_no_more_than_it_always_does(
    gateway: World, broke: Member, node: Runner
) -> None:
    for error in node.run("ai-sdk.mjs", gateway, broke, "refused", "1").values():
        assert (error["status"], error["code"]) == (429, "insufficient_quota")
        assert error["asked"] <= 2


def test_langchain_chat_stream_tools_responses_embeddings(
    gateway: World, member: Member, node: Runner
) -> None:
    out = node.run("langchain.mjs", gateway, member)
    assert [out[name] for name in ("chat", "stream", "responses")] == [HELLO] * 3
    assert out["tool"] == "weather"
    assert len(set(out["embeddings"])) == 1
    assert outcomes(gateway, member) == (5, [])


def test_r3_langchain_asks_once_when_the_budget_is_used_up(
    gateway: World, broke: Member, node: Runner
) -> None:
    error = node.run("langchain.mjs", gateway, broke, "refused")["chat"]
    assert error["asked"] == 1
    assert "quota" in error["message"]
