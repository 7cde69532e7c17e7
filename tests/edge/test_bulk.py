"""Large bodies do not hold up whoever else is being served."""

import json
import threading
from typing import Any

import pytest

from services.edge import chat, embeddings, relay
from services.edge.bulk import LARGE
from tests.edge.wire import ask, bearer
from tests.edge.wire import chat as chat_with
from tests.edge.world import Member, World


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which thread did what at last."""
    seen: dict[str, str] = {}

    def watched(module: Any, name: str) -> None:
        real = getattr(module, name)

        def instead(*args: Any) -> Any:
            seen[name] = threading.current_thread().name.partition("_")[0]
            return real(*args)

        monkeypatch.setattr(module, name, instead)

    watched(chat, "parse")
    watched(chat, "change")
    watched(embeddings, "parse")
    watched(relay, "read_document")
    return seen


def test_a_large_request_is_read_and_changed_beside_the_loop(
    gateway: World, member: Member, threads: dict[str, str]
) -> None:
    assert chat_with(gateway.url, member).status == 200
    assert (threads["parse"], threads["change"]) == ("gateway", "gateway")
    text = [{"role": "user", "content": "\\u0000" + "x" * LARGE}]
    reply = chat_with(gateway.url, member, messages=text, model="simulator/free")
    assert reply.status == 200
    assert (threads["parse"], threads["change"]) == ("bulk", "bulk")


def test_a_large_answer_is_read_beside_the_loop(
    gateway: World, member: Member, threads: dict[str, str]
) -> None:
    for count, thread in ((1, "gateway"), (60, "bulk")):
        body = {
            "model": "simulator/echo",
            "input": ["a"] * count,
            "encoding_format": "float",
            "dimensions": 512,
        }
        reply = ask(
            gateway.url, "POST", "/v1/embeddings", json.dumps(body).encode(), bearer(member)
        )
        assert len(reply.json["data"]) == count
        assert (len(reply.body) >= LARGE) == (thread == "bulk")
        assert (threads["parse"], threads["read_document"]) == ("gateway", thread)


def test_what_is_wrong_with_a_large_request_is_told_all_the_same(
    gateway: World, member: Member
) -> None:
    reply = chat_with(gateway.url, member, b'{"model":"' + b"x" * LARGE)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert gateway.journal(member) == []
