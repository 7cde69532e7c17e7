"""Python libraries whose pins differ from ours, each as its users call it."""

from typing import Any

import pytest

from tests.clients.relay import relayed
from tests.clients.runner import Runner
from tests.edge.world import Member, World

HELLO = "Hello there"


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def told(gateway: World, member: Member, python: Runner, script: str) -> tuple[Any, int, list[str]]:
    """What the script says, how often it asked when the budget was used up, what was charged."""
    broke = gateway.member(limit=0)
    with relayed(gateway.url) as relay:
        out = python.run(script, gateway, member, f"{relay.url}/v1", broke.key)
        asked = relay.asked(b"POST /v1/chat/completions ")
    return out, asked, [e.operation for e in gateway.journal(member) if e.kind == "settle"]


@pytest.mark.timeout(120)
def test_r3_llamaindex_works_and_asks_three_times_at_most(
    gateway: World, member: Member, python: Runner
) -> None:
    out, asked, charged = told(gateway, member, python, "llamaindex.py")
    assert [out[name] for name in ("chat", "complete", "stream")] == [HELLO] * 3
    assert out["tools"] == ["weather"]
    assert len(set(out["embeddings"])) == 1
    assert out["broken"] == {"kind": "APIError", "code": "upstream_error"}
    assert charged == [*["chat"] * 4, "embeddings", "chat"]
    assert out["refused"] == {"kind": "RateLimitError", "code": "insufficient_quota"}
    assert 1 <= asked <= 3


@pytest.mark.timeout(120)
def test_r3_litellm_works_and_asks_once_when_the_budget_is_used_up(
    gateway: World, member: Member, python: Runner
) -> None:
    out, asked, charged = told(gateway, member, python, "litellm_sdk.py")
    assert [out[name] for name in ("chat", "stream", "responses")] == [HELLO] * 3
    assert len(set(out["embeddings"])) == 1
    assert charged == ["chat", "chat", "embeddings", "responses"]
    assert (out["refused"], asked) == ("RateLimitError", 1)
